// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// Max pooling pads with minus infinity, up to where its windows reach, and has its taps in the body.
// CHECK-LABEL: func.func @max_pool
// CHECK: tensor.pad %{{.*}} low[0, 0, 1, 1] high[0, 0, 0, 0]
// CHECK: tensor.yield %[[PADDING:.*]] : f32
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "parallel"]
// CHECK-COUNT-9: arith.maximumf
// CHECK: torch_c.from_builtin_tensor
func.func @max_pool(%x: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,4,4,4],f32> {
  %y = "sparsebp.max_pool"(%x) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,4,4,4],f32>
  return %y : !torch.vtensor<[2,4,4,4],f32>
}

// The gradient is gathered: each position compares the saved taps of the windows that may have chosen it.
// CHECK-LABEL: func.func @max_pool_grad
// CHECK-NOT: scatter
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x4x2x4x2xf32>)
// CHECK: arith.cmpi eq
// CHECK: arith.select
// CHECK: arith.addf
// CHECK: tensor.collapse_shape %{{.*}} into tensor<2x4x8x8xf32>
func.func @max_pool_grad(%g: !torch.vtensor<[2,4,4,4],f32>, %at: !torch.vtensor<[2,4,4,4],si32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.max_pool_grad"(%g, %at) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,4,4],f32>, !torch.vtensor<[2,4,4,4],si32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// Without padding in the count, windows at the border divide by less.
// CHECK-LABEL: func.func @avg_pool_grad
// CHECK-DAG: dense<{{\[\[}}2.500000e-01, 0.166666672], [0.166666672, 0.111111112]]> : tensor<2x2xf32>
func.func @avg_pool_grad(%g: !torch.vtensor<[2,4,2,2],f32>) -> !torch.vtensor<[2,4,4,4],f32> {
  %dx = "sparsebp.avg_pool_grad"(%g) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = false, divisor_override = 0 : i64} : (!torch.vtensor<[2,4,2,2],f32>) -> !torch.vtensor<[2,4,4,4],f32>
  return %dx : !torch.vtensor<[2,4,4,4],f32>
}
