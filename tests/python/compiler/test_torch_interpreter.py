# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# ruff: noqa: E501 (MLIR keeps an operation on one line)
"""The reference interpreter against PyTorch itself: a reference that is wrong proves nothing."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch_mlir import ir

from pock.compiler.opt import parse_module
from pock.dialects import sparsebp
from tests.philox import philox4x32
from tests.python.compiler.torch_interpreter import Interpreter


def program(text: str) -> ir.Module:
    return parse_module(text, sparsebp.context(), "test")


def test_arithmetic_constants_and_keyword_arguments() -> None:
    module = program("""
        func.func @f(%a: !torch.vtensor<[2,3],f32>) -> (!torch.vtensor<[2],f32>, !torch.vtensor<[2,3],bf16>) {
          %two = torch.constant.int 2
          %one = torch.constant.int 1
          %none = torch.constant.none
          %false = torch.constant.bool false
          %bf16 = torch.constant.int 15
          %l = torch.vtensor.literal(dense<1.5> : tensor<3xf32>) : !torch.vtensor<[3],f32>
          %r = torch.vtensor.literal(dense_resource<blob> : tensor<3xf32>) : !torch.vtensor<[3],f32>
          %0 = torch.aten.add.Tensor %a, %l, %two : !torch.vtensor<[2,3],f32>, !torch.vtensor<[3],f32>, !torch.int -> !torch.vtensor<[2,3],f32>
          %1 = torch.aten.mul.Tensor %0, %r : !torch.vtensor<[2,3],f32>, !torch.vtensor<[3],f32> -> !torch.vtensor<[2,3],f32>
          %dims = torch.prim.ListConstruct %one : (!torch.int) -> !torch.list<int>
          %2 = torch.aten.sum.dim_IntList %1, %dims, %false, %none : !torch.vtensor<[2,3],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2],f32>
          %3 = torch.aten.to.dtype %1, %bf16, %false, %false, %none : !torch.vtensor<[2,3],f32>, !torch.int, !torch.bool, !torch.bool, !torch.none -> !torch.vtensor<[2,3],bf16>
          return %2, %3 : !torch.vtensor<[2],f32>, !torch.vtensor<[2,3],bf16>
        }
        {-# dialect_resources: { builtin: { blob: "0x040000000000803F0000004000004040" } } #-}
    """)
    a = torch.randn(2, 3)
    expected = (a + 3.0) * torch.tensor([1.0, 2.0, 3.0])
    total, half = Interpreter(module).run("f", a)
    torch.testing.assert_close(total, expected.sum(1), rtol=0, atol=0)
    torch.testing.assert_close(half, expected.bfloat16(), rtol=0, atol=0)


def test_a_result_of_another_type_than_declared_is_an_error() -> None:
    module = program("""
        func.func @f(%a: !torch.vtensor<[2,3],f32>) -> !torch.vtensor<[2],f32> {
          %0 = torch.aten.relu %a : !torch.vtensor<[2,3],f32> -> !torch.vtensor<[2],f32>
          return %0 : !torch.vtensor<[2],f32>
        }""")
    with pytest.raises(AssertionError, match="relu"):
        Interpreter(module).run("f", torch.randn(2, 3))


STATE = """
  "sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
  func.func @step(%v: !torch.vtensor<[2,2],f32>) -> !torch.vtensor<[4,2],f32> {
    %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
    "sparsebp.assign"(%v) {symbol = @w, mask = #sparsebp.mask<"list", "output_channels", array<i64: 0, 3>>} : (!torch.vtensor<[2,2],f32>) -> ()
    return %w : !torch.vtensor<[4,2],f32>
  }
"""


def test_assign_writes_the_masked_channels_and_in_place_shows_them_to_earlier_reads() -> None:
    w, v = torch.randn(4, 2), torch.randn(2, 2)
    after = w.clone()
    after[[0, 3]] = v
    for in_place, seen in ((False, w), (True, after)):
        interpreter = Interpreter(program(STATE), {"w": w}, in_place=in_place)
        assert torch.equal(interpreter.run("step", v)[0], seen)
        assert torch.equal(interpreter.state["w"], after)
        assert not torch.equal(w, after)


def test_convolution_gradients() -> None:
    module = program(
        """
        func.func @f(%g: !torch.vtensor<[2,4,3,3],f32>, %x: !torch.vtensor<[2,6,6,7],f32>, %w: !torch.vtensor<[4,3,2,3],f32>)
            -> (!torch.vtensor<[2,6,6,7],f32>, !torch.vtensor<[4,3,2,3],f32>) {
          %0 = "sparsebp.conv_input_grad"(%g, %w) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 2, 1>, groups = 2 : i64} : (!torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[4,3,2,3],f32>) -> !torch.vtensor<[2,6,6,7],f32>
          %1 = "sparsebp.conv_weight_grad"(%g, %x) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 2, 1>, groups = 2 : i64} : (!torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,6,6,7],f32>) -> !torch.vtensor<[4,3,2,3],f32>
          return %0, %1 : !torch.vtensor<[2,6,6,7],f32>, !torch.vtensor<[4,3,2,3],f32>
        }""".replace("[2,4,3,3]", "[2,4,3,4]")
    )
    x, w = torch.randn(2, 6, 6, 7, requires_grad=True), torch.randn(4, 3, 2, 3, requires_grad=True)
    y = functional.conv2d(x, w, stride=2, padding=1, dilation=(2, 1), groups=2)
    g = torch.randn_like(y)
    y.backward(g)
    dx, dw = Interpreter(module).run("f", g, x.detach(), w.detach())
    torch.testing.assert_close(dx, x.grad)
    torch.testing.assert_close(dw, w.grad)


def test_pooling() -> None:
    window = "kernel = array<i64: 3, 2>, stride = array<i64: 2, 2>, padding = array<i64: 1, 0>"
    module = program(f"""
        func.func @f(%x: !torch.vtensor<[2,3,7,7],f32>, %g: !torch.vtensor<[2,3,4,4],f32>)
            -> (!torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,7,7],f32>, !torch.vtensor<[2,3,7,7],f32>) {{
          %0 = "sparsebp.max_pool"(%x) {{{window}, dilation = array<i64: 1, 1>}} : (!torch.vtensor<[2,3,7,7],f32>) -> !torch.vtensor<[2,3,4,4],f32>
          %1 = "sparsebp.max_pool_argmax"(%x) {{{window}, dilation = array<i64: 1, 1>}} : (!torch.vtensor<[2,3,7,7],f32>) -> !torch.vtensor<[2,3,4,4],si32>
          %2 = "sparsebp.max_pool_grad"(%g, %1) {{{window}, dilation = array<i64: 1, 1>}} : (!torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,4,4],si32>) -> !torch.vtensor<[2,3,7,7],f32>
          %3 = "sparsebp.avg_pool_grad"(%g) {{{window}, count_include_pad = false, divisor_override = 0 : i64}} : (!torch.vtensor<[2,3,4,4],f32>) -> !torch.vtensor<[2,3,7,7],f32>
          return %0, %2, %3 : !torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,7,7],f32>, !torch.vtensor<[2,3,7,7],f32>
        }}""")
    x, g = torch.randn(2, 3, 7, 7, requires_grad=True), torch.randn(2, 3, 4, 4)
    y = functional.max_pool2d(x, (3, 2), 2, (1, 0), ceil_mode=True)
    (dx,) = torch.autograd.grad(y, x, g)
    average = functional.avg_pool2d(x, (3, 2), 2, (1, 0), ceil_mode=True, count_include_pad=False)
    (da,) = torch.autograd.grad(average, x, g)
    for got, expected in zip(Interpreter(module).run("f", x.detach(), g), (y, dx, da), strict=True):
        torch.testing.assert_close(got, expected.detach())


@pytest.mark.parametrize("scale", [False, True])
def test_embedding_gradient_of_some_rows(scale: bool) -> None:
    module = program(f"""
        func.func @f(%g: !torch.vtensor<[2,5,3],f32>, %i: !torch.vtensor<[2,5],si64>) -> !torch.vtensor<[3,3],f32> {{
          %0 = "sparsebp.embedding_grad"(%g, %i) {{first_row = 1 : i64, padding_idx = 2 : i64, scale_grad_by_freq = {str(scale).lower()}}} : (!torch.vtensor<[2,5,3],f32>, !torch.vtensor<[2,5],si64>) -> !torch.vtensor<[3,3],f32>
          return %0 : !torch.vtensor<[3,3],f32>
        }}""")
    table = torch.randn(6, 3, requires_grad=True)
    indices = torch.tensor([[0, 1, 2, 3, 1], [5, 1, 2, 2, 3]])
    g = torch.randn(2, 5, 3)
    functional.embedding(indices, table, padding_idx=2, scale_grad_by_freq=scale).backward(g)
    torch.testing.assert_close(Interpreter(module).run("f", g, indices)[0], table.grad[1:4])


def test_philox_gives_the_published_answers() -> None:
    """The known-answer vectors of Random123 (kat_vectors, philox4x32 10)."""
    cases = [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for counter, key, expected in cases:
        assert philox4x32(np.array([counter], dtype=np.uint32), key)[0].tolist() == list(expected)


def test_random_mask_depends_on_seed_step_and_stream() -> None:
    module = program("""
        func.func @f(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[101],i1>, !torch.vtensor<[101],i1>) {
          %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 0.25 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[101],i1>
          %1 = "sparsebp.random_mask"(%seed, %step) {stream = 1 : i64, probability = 0.25 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[101],i1>
          return %0, %1 : !torch.vtensor<[101],i1>, !torch.vtensor<[101],i1>
        }""")
    interpreter = Interpreter(module)

    def masks(seed: int, step: int) -> list[list[bool]]:
        return [m.tolist() for m in interpreter.run("f", torch.tensor(seed), torch.tensor(step))]

    assert masks(7, 3) == masks(7, 3)
    distinct = [*masks(7, 3), *masks(8, 3), *masks(7, 4), *masks(7 + 2**33, 3)]
    assert all(a != b for i, a in enumerate(distinct) for b in distinct[:i])
    assert 5 < sum(distinct[0]) < 50
