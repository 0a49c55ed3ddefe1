# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How much a step does."""

from iree.compiler import ir

from pock.compiler.work import Work, work_of

STREAM = """
stream.executable private @kernels {
  builtin.module {
    func.func @product(%x: !stream.binding, %y: !stream.binding, %z: !stream.binding) {
      %zero = arith.constant 0 : index
      %init = arith.constant 0.0 : f32
      %0 = stream.binding.subspan %x[%zero] : !stream.binding -> !iree_tensor_ext.dispatch.tensor<readonly:tensor<4x8xf32>>
      %1 = stream.binding.subspan %y[%zero] : !stream.binding -> !iree_tensor_ext.dispatch.tensor<readonly:tensor<8x16xf32>>
      %2 = stream.binding.subspan %z[%zero] : !stream.binding -> !iree_tensor_ext.dispatch.tensor<writeonly:tensor<4x16xf32>>
      %3 = iree_tensor_ext.dispatch.tensor.load %0, offsets = [0, 0], sizes = [4, 8], strides = [1, 1] : !iree_tensor_ext.dispatch.tensor<readonly:tensor<4x8xf32>> -> tensor<4x8xf32>
      %4 = iree_tensor_ext.dispatch.tensor.load %1, offsets = [0, 0], sizes = [8, 16], strides = [1, 1] : !iree_tensor_ext.dispatch.tensor<readonly:tensor<8x16xf32>> -> tensor<8x16xf32>
      %5 = tensor.empty() : tensor<4x16xf32>
      %6 = linalg.fill ins(%init : f32) outs(%5 : tensor<4x16xf32>) -> tensor<4x16xf32>
      %7 = linalg.matmul ins(%3, %4 : tensor<4x8xf32>, tensor<8x16xf32>) outs(%6 : tensor<4x16xf32>) -> tensor<4x16xf32>
      iree_tensor_ext.dispatch.tensor.store %7, %2, offsets = [0, 0], sizes = [4, 16], strides = [1, 1] : tensor<4x16xf32> -> !iree_tensor_ext.dispatch.tensor<writeonly:tensor<4x16xf32>>
      return
    }
    func.func @negate(%x: !stream.binding) {
      %zero = arith.constant 0 : index
      %0 = stream.binding.subspan %x[%zero] : !stream.binding -> !iree_tensor_ext.dispatch.tensor<readwrite:tensor<5xi1>>
      %1 = iree_tensor_ext.dispatch.tensor.load %0, offsets = [0], sizes = [5], strides = [1] : !iree_tensor_ext.dispatch.tensor<readwrite:tensor<5xi1>> -> tensor<5xi1>
      iree_tensor_ext.dispatch.tensor.store %1, %0, offsets = [0], sizes = [5], strides = [1] : tensor<5xi1> -> !iree_tensor_ext.dispatch.tensor<readwrite:tensor<5xi1>>
      return
    }
  }
}
util.func public @step(%r: !stream.resource<external>) -> !stream.timepoint {
  %size = arith.constant 1024 : index
  %zero = arith.constant 0 : index
  %done = stream.cmd.execute with(%r as %a: !stream.resource<external>{%size}) {
    stream.cmd.dispatch @kernels::@product {
      ro %a[%zero for %size] : !stream.resource<external>{%size},
      ro %a[%zero for %size] : !stream.resource<external>{%size},
      wo %a[%zero for %size] : !stream.resource<external>{%size}
    }
    stream.cmd.concurrent {
      stream.cmd.dispatch @kernels::@product {
        ro %a[%zero for %size] : !stream.resource<external>{%size},
        ro %a[%zero for %size] : !stream.resource<external>{%size},
        wo %a[%zero for %size] : !stream.resource<external>{%size}
      }
      stream.cmd.dispatch @kernels::@negate {
        rw %a[%zero for %size] : !stream.resource<external>{%size}
      }
    }
  } => !stream.timepoint
  util.return %done : !stream.timepoint
}
util.func public @idle() {
  util.return
}
"""  # noqa: E501


def test_every_dispatch_counts_with_what_it_moves_and_multiplies() -> None:
    with ir.Context():
        module = ir.Module.parse(STREAM)
        product = Work(1, 4 * (4 * 8 + 8 * 16 + 4 * 16), 4 * 8 * 16)
        assert work_of(module, "step") == product + product + Work(1, 10, 0)
        assert work_of(module, "idle") == Work()
