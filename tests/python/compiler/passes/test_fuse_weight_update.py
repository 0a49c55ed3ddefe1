# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which updates are fused with the input gradient, and which are not."""

import pytest
from torch_mlir import ir

from pock.compiler.errors import UsageError
from pock.compiler.passes.fuse_weight_update import FuseWeightUpdate
from pock.dialects import sparsebp

STEP = """
#nk = affine_map<(d0, d1) -> (d0, d1)>
#scalar = affine_map<(d0, d1) -> ()>
func.func @step(%g: tensor<2x512xf32>, %x: tensor<2x256xf32>, %lr: tensor<f32>,
    %w: tensor<512x256xf32> {iree.abi.output = 1 : index})
    -> (tensor<2x256xf32>, tensor<512x256xf32>, tensor<512x256xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x256xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<2x256xf32>) -> tensor<2x256xf32>
  %dx = linalg.matmul ins(%g, %w : tensor<2x512xf32>, tensor<512x256xf32>)
    outs(%zeros : tensor<2x256xf32>) -> tensor<2x256xf32>
  %et = tensor.empty() : tensor<512x2xf32>
  %gt = linalg.transpose ins(%g : tensor<2x512xf32>) outs(%et : tensor<512x2xf32>) permutation = [1, 0]
  %ew = tensor.empty() : tensor<512x256xf32>
  %zw = linalg.fill ins(%zero : f32) outs(%ew : tensor<512x256xf32>) -> tensor<512x256xf32>
  %dw = linalg.matmul ins(%gt, %x : tensor<512x2xf32>, tensor<2x256xf32>)
    outs(%zw : tensor<512x256xf32>) -> tensor<512x256xf32>
  // BETWEEN
  %new = linalg.generic {indexing_maps = [#nk, #nk, #scalar, #nk], iterator_types = ["parallel", "parallel"]}
      ins(%w, %dw, %lr : tensor<512x256xf32>, tensor<512x256xf32>, tensor<f32>)
      outs(%ew : tensor<512x256xf32>) {
  ^bb0(%a: f32, %b: f32, %l: f32, %o: f32):
    // BODY
    %1 = arith.mulf %b, %l : f32
    %2 = arith.subf %a, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<512x256xf32>
  return %dx, %new, %zw : tensor<2x256xf32>, tensor<512x256xf32>, tensor<512x256xf32>
}
"""

#: The sum of the input gradient, which the update then needs.
CLIPPED = """
  %e0 = tensor.empty() : tensor<f32>
  %z0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %total = linalg.generic {indexing_maps = [#nk, #scalar], iterator_types = ["reduction", "reduction"]}
      ins(%dx : tensor<2x256xf32>) outs(%z0 : tensor<f32>) {
  ^bb0(%p: f32, %q: f32):
    %3 = arith.addf %q, %p : f32
    linalg.yield %3 : f32
  } -> tensor<f32>
"""

LATER = """
  %late = linalg.generic {indexing_maps = [#nk, #nk], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<512x256xf32>) outs(%ew : tensor<512x256xf32>) {
  ^bb0(%p: f32, %q: f32):
    %3 = arith.mulf %p, %p : f32
    linalg.yield %3 : f32
  } -> tensor<512x256xf32>
"""

AGAIN = """
  %again = linalg.matmul ins(%g, %w : tensor<2x512xf32>, tensor<512x256xf32>)
    outs(%zeros : tensor<2x256xf32>) -> tensor<2x256xf32>
"""


def fused(*changes: tuple[str, str], rows: int = 2) -> bool:
    """Whether the pass fuses the update of ``STEP``, changed."""
    text = STEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with sparsebp.context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        before = str(module)
        FuseWeightUpdate(rows).apply(module)
        assert module.operation.verify()
        found = 'iterator_types = ["parallel", "reduction"]' in str(module)
        assert found or str(module) == before
        return found


def test_a_step_of_few_rows_is_fused() -> None:
    assert fused() and fused(rows=8)


def test_a_gradient_that_is_returned_is_one_more_result() -> None:
    assert fused(("return %dx, %new, %zw", "return %dx, %new, %dw"))


def test_of_several_products_the_last_is_fused() -> None:
    """Those in front of it read the old value."""
    assert fused(("// BETWEEN", AGAIN), ("return %dx, %new", "return %again, %new"))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([("{iree.abi.output = 1 : index}", "")], id="the argument is not donated"),
        pytest.param([("return %dx, %new, %zw", "return %dx, %zw, %new")], id="another result's storage"),
        pytest.param([("// BETWEEN", LATER), ("%new, %zw", "%new, %late")], id="the old value is read later"),
        pytest.param([("// BETWEEN", CLIPPED), ("%dw, %lr", "%dw, %total")], id="the update needs it"),
        pytest.param([("// BODY", "%i = linalg.index 0 : index")], id="a matter of places"),
        pytest.param([("%1 = arith.mulf %b, %l", "%1 = arith.mulf %b, %o")], id="the result is read"),
        pytest.param([("ins(%zero : f32) outs(%e :", "ins(%one : f32) outs(%e :"),
                      ("%zero = arith", "%one = arith.constant 1.0 : f32\n%zero = arith")], id="no zeros"),
        pytest.param([("256", "250")], id="columns of no whole vectors"),
        pytest.param([("512", "128")], id="a small weight"),
    ],
)  # fmt: skip
def test_what_is_not_fused_stays_as_it_is(changes: list[tuple[str, str]]) -> None:
    assert not fused(*changes)


@pytest.mark.parametrize("rows", [0, 1])
def test_more_rows_are_not_fused(rows: int) -> None:
    assert not fused(rows=rows)


def test_more_buffers_than_a_kernel_may_have_are_not_fused() -> None:
    """Each row of the gradient has one, besides the operands."""
    assert fused(("<2x", "<27x"), ("<512x2x", "<512x27x"), rows=99)
    assert not fused(("<2x", "<28x"), ("<512x2x", "<512x28x"), rows=99)


def test_negative_rows_are_an_error() -> None:
    with pytest.raises(UsageError, match="takes 0 or more rows, got -1"):
        fused(rows=-1)


def test_a_program_without_a_step_stays_as_it_is() -> None:
    with sparsebp.context(), ir.Location.unknown():
        module = ir.Module.parse(
            "func.func @predict(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }"
        )
        FuseWeightUpdate(8).apply(module)
