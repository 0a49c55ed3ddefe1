// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// Max pooling pads with minus infinity, up to where its windows reach, and has its taps in the body.
// CHECK-LABEL: func.func @max_pool(
// CHECK: %[[LOW:.*]] = arith.constant 0xFF800000 : f32
// CHECK: tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 0, 0, 0]
// CHECK: tensor.yield %[[LOW]] : f32
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "parallel"]
// CHECK-COUNT-9: arith.maximumf
// CHECK-NOT: linalg.transpose
// CHECK: torch_c.from_builtin_tensor
func.func @max_pool(%x: !torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[2,4,4,4],f32> {
  %y = "sparsebp.max_pool"(%x) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[2,4,4,4],f32>
  return %y : !torch.vtensor<[2,4,4,4],f32>
}

// Maxima and their taps are found in one loop, and nothing is fused with it: iree-compile makes invalid code where
// it moves a transposition into a loop with two results.
// CHECK-LABEL: func.func @max_pool_and_argmax(
// CHECK: %[[BOTH:.*]]:2 = linalg.generic
// CHECK-NOT: linalg.generic
// CHECK: %[[TOP:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[BOTH]]#0)
// CHECK: torch_c.from_builtin_tensor %[[TOP]]
// CHECK: %[[TAP:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[BOTH]]#1)
// CHECK: linalg.generic {{.*}} ins(%[[TAP]],
// CHECK: arith.select
func.func @max_pool_and_argmax(%x: !torch.vtensor<[2,8,8,3],f32>) -> (!torch.vtensor<[2,4,4,3],f32>, !torch.vtensor<[2,4,4,3],si32>) {
  %y = "sparsebp.max_pool"(%x) {channels_last, kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,3],f32>) -> !torch.vtensor<[2,4,4,3],f32>
  %at = "sparsebp.max_pool_argmax"(%x) {channels_last, kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,3],f32>) -> !torch.vtensor<[2,4,4,3],si32>
  return %y, %at : !torch.vtensor<[2,4,4,3],f32>, !torch.vtensor<[2,4,4,3],si32>
}

// The gradient is gathered: each position compares the saved taps of the windows that may have chosen it.
// CHECK-LABEL: func.func @max_pool_grad(
// CHECK-NOT: scatter
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x2x4x2x3xf32>)
// CHECK: arith.cmpi eq
// CHECK: arith.select
// CHECK: arith.addf
// CHECK: tensor.collapse_shape %{{.*}} into tensor<2x8x8x3xf32>
func.func @max_pool_grad(%g: !torch.vtensor<[2,4,4,3],f32>, %at: !torch.vtensor<[2,4,4,3],si32>) -> !torch.vtensor<[2,8,8,3],f32> {
  %dx = "sparsebp.max_pool_grad"(%g, %at) {channels_last, kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,4,3],f32>, !torch.vtensor<[2,4,4,3],si32>) -> !torch.vtensor<[2,8,8,3],f32>
  return %dx : !torch.vtensor<[2,8,8,3],f32>
}

// Averages are sums in f32 times the inverse of each window's divisor: without padding in the count, windows at the
// border divide by less.
// CHECK-LABEL: func.func @avg_pool(
// CHECK-DAG: %[[WEIGHTS:.*]] = arith.constant dense<{{\[\[}}2.500000e-01, 0.166666672], [0.166666672, 0.111111112]]> : tensor<2x2xf32>
// CHECK: %[[SUMS:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x2x2x3xf32>)
// CHECK-COUNT-9: arith.addf %{{.*}} : f32
// CHECK: linalg.generic {{.*}} ins(%[[SUMS]], %[[WEIGHTS]] : tensor<2x2x2x3xf32>, tensor<2x2xf32>)
// CHECK: arith.truncf %{{.*}} : f32 to f16
func.func @avg_pool(%x: !torch.vtensor<[2,4,4,3],f16>) -> !torch.vtensor<[2,2,2,3],f16> {
  %y = "sparsebp.avg_pool"(%x) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = false, divisor_override = 0 : i64} : (!torch.vtensor<[2,4,4,3],f16>) -> !torch.vtensor<[2,2,2,3],f16>
  return %y : !torch.vtensor<[2,2,2,3],f16>
}

// So does the gradient, before it is gathered.
// CHECK-LABEL: func.func @avg_pool_grad(
// CHECK-DAG: %[[WEIGHTS:.*]] = arith.constant dense<{{\[\[}}2.500000e-01, 0.166666672], [0.166666672, 0.111111112]]> : tensor<2x2xf32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[WEIGHTS]] : tensor<2x2x2x3xf32>, tensor<2x2xf32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x2x2x2x2x3xf32>)
// CHECK: tensor.collapse_shape %{{.*}} into tensor<2x4x4x3xf32>
func.func @avg_pool_grad(%g: !torch.vtensor<[2,2,2,3],f32>) -> !torch.vtensor<[2,4,4,3],f32> {
  %dx = "sparsebp.avg_pool_grad"(%g) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = false, divisor_override = 0 : i64} : (!torch.vtensor<[2,2,2,3],f32>) -> !torch.vtensor<[2,4,4,3],f32>
  return %dx : !torch.vtensor<[2,4,4,3],f32>
}

// Channels behind the batch are put last and back, behind the barrier where there is one.
// CHECK-LABEL: func.func @max_pool_channels_first(
// CHECK: %[[X:.*]] = linalg.transpose ins(%{{.*}} : tensor<2x3x8x8xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: tensor.extract_slice %[[X]][0, 1, 1, 0]
// CHECK: %[[BOTH:.*]]:2 = linalg.generic
// CHECK: %[[TOP:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[BOTH]]#0)
// CHECK: linalg.transpose ins(%[[TOP]] : tensor<2x4x4x3xf32>) {{.*}} permutation = [0, 3, 1, 2]
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x4x4x3xi32>) {{.*}} permutation = [0, 3, 1, 2]
func.func @max_pool_channels_first(%x: !torch.vtensor<[2,3,8,8],f32>) -> (!torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,4,4],si32>) {
  %y = "sparsebp.max_pool"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,3,4,4],f32>
  %at = "sparsebp.max_pool_argmax"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,3,4,4],si32>
  return %y, %at : !torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,4,4],si32>
}

// So are gradients.
// CHECK-LABEL: func.func @gradients_channels_first(
// CHECK-COUNT-2: linalg.transpose ins(%{{.*}} : tensor<2x3x4x4x{{.*}}>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x8x8x3xf32>) {{.*}} permutation = [0, 3, 1, 2]
func.func @gradients_channels_first(%g: !torch.vtensor<[2,3,4,4],f32>, %at: !torch.vtensor<[2,3,4,4],si32>) -> !torch.vtensor<[2,3,8,8],f32> {
  %dx = "sparsebp.max_pool_grad"(%g, %at) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,4],f32>, !torch.vtensor<[2,3,4,4],si32>) -> !torch.vtensor<[2,3,8,8],f32>
  return %dx : !torch.vtensor<[2,3,8,8],f32>
}
