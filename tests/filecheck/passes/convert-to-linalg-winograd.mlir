// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-to-linalg{winograd=64},canonicalize,cse)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-to-linalg{winograd=64 panel=32},canonicalize,cse)' | filecheck %s --check-prefix=PANELS
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-to-linalg{winograd=65},canonicalize,cse)' | filecheck %s --check-prefix=FEWER
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s --check-prefix=NEVER

// 64 tiles of 2 x 2 outputs: squares of 4 x 4 inputs are transformed by additions, and so is the filter; there are
// sixteen products of matrices; and the outputs of a tile are made of these together, with factors of their own.
// CHECK-LABEL: func.func @convolution(
// CHECK-DAG: dense<{{\[\[}}1.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00]]> : tensor<2x2xf32>
// CHECK-DAG: dense<{{\[\[}}1.000000e+00, -1.000000e+00], [-1.000000e+00, 1.000000e+00]]> : tensor<2x2xf32>
// CHECK-COUNT-9: tensor.extract_slice %{{.*}} : tensor<9x32x64xf32> to tensor<32x64xf32>
// CHECK: arith.mulf
// CHECK-COUNT-16: tensor.insert_slice %{{.*}} : tensor<32x64xf32> into tensor<16x32x64xf32>
// CHECK: tensor.expand_shape %{{.*}} output_shape [4, 5, 2, 5, 2, 32] : tensor<4x10x10x32xf32>
// CHECK-COUNT-16: tensor.extract_slice %{{.*}} : tensor<4x5x2x5x2x32xf32> to tensor<4x4x4x32xf32>
// CHECK-NOT: arith.mulf
// CHECK-COUNT-16: tensor.insert_slice %{{.*}} : tensor<4x4x4x32xf32> into tensor<16x4x4x4x32xf32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x32xf32>, tensor<16x32x64xf32>)
// CHECK-COUNT-16: tensor.extract_slice %{{.*}} : tensor<16x4x4x4x64xf32> to tensor<4x4x4x64xf32>
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<4x4x2x4x2x64xf32>)
// CHECK: tensor.collapse_shape %{{.*}} : tensor<4x4x2x4x2x64xf32> into tensor<4x8x8x64xf32>
// PANELS-LABEL: func.func @convolution(
// PANELS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x32xf32>, tensor<16x2x32x32xf32>)
// FEWER-LABEL: func.func @convolution(
// FEWER: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<256x288xf32>, tensor<288x64xf32>)
// NEVER-LABEL: func.func @convolution(
// NEVER: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<256x288xf32>, tensor<288x64xf32>)
func.func @convolution(%x: !torch.vtensor<[4,8,8,32],f32>, %w: !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32> {
  %0 = "sparsebp.convolution"(%x, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32>
  return %0 : !torch.vtensor<[4,8,8,64],f32>
}

// -----

// A filter that never changes is worth it for a quarter of the tiles, 16, and is transformed in one operation. An odd
// number of outputs is cut off tiles.
// CHECK-LABEL: func.func @constant(
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<16x32x32xf32>)
// CHECK-COUNT-16: tensor.insert_slice %{{.*}} : tensor<1x4x4x32xf32> into tensor<16x1x4x4x32xf32>
// CHECK-NOT: tensor.insert_slice
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x16x32xf32>, tensor<16x32x32xf32>)
// CHECK: tensor.extract_slice %{{.*}}[0, 0, 0, 0] [1, 7, 8, 32] [1, 1, 1, 1] : tensor<1x8x8x32xf32> to tensor<1x7x8x32xf32>
// FEWER-LABEL: func.func @constant(
// FEWER: tensor<16x32x32xf32>
// NEVER-LABEL: func.func @constant(
// NEVER-NOT: tensor<16x32x32xf32>
func.func @constant(%x: !torch.vtensor<[1,7,8,32],f32>) -> !torch.vtensor<[1,7,8,32],f32> {
  %w = torch.vtensor.literal(dense<1.0> : tensor<32x32x3x3xf32>) : !torch.vtensor<[32,32,3,3],f32>
  %0 = "sparsebp.convolution"(%x, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,7,8,32],f32>, !torch.vtensor<[32,32,3,3],f32>) -> !torch.vtensor<[1,7,8,32],f32>
  return %0 : !torch.vtensor<[1,7,8,32],f32>
}

// -----

// The input gradient is such a convolution, with a matrix whose rows are the filters, and no table of taps.
// CHECK-LABEL: func.func @input_grad(
// CHECK-NOT: tensor.extract %
// CHECK: linalg.transpose ins(%{{.*}} : tensor<64x32x9xf32>) {{.*}} permutation = [2, 0, 1]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x64xf32>, tensor<16x64x32xf32>)
// NEVER-LABEL: func.func @input_grad(
// NEVER: tensor.extract %
func.func @input_grad(%g: !torch.vtensor<[4,8,8,64],f32>, %w: !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,32],f32> {
  %0 = "sparsebp.conv_input_grad"(%g, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,32],f32>
  return %0 : !torch.vtensor<[4,8,8,32],f32>
}

// -----

// The weight gradient sums over tiles.
// CHECK-LABEL: func.func @weight_grad(
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x64xf32>, tensor<16x64x32xf32>) outs(%{{.*}} : tensor<16x64x32xf32>)
// CHECK-COUNT-9: tensor.insert_slice %{{.*}} : tensor<64x32xf32> into tensor<9x64x32xf32>
// CHECK: linalg.transpose ins(%{{.*}} : tensor<9x64x32xf32>) {{.*}} permutation = [1, 2, 0]
// FEWER-LABEL: func.func @weight_grad(
// FEWER: ins(%{{.*}}, %{{.*}} : tensor<64x256xf32>, tensor<256x288xf32>)
func.func @weight_grad(%g: !torch.vtensor<[4,8,8,64],f32>, %x: !torch.vtensor<[4,8,8,32],f32>) -> !torch.vtensor<[64,32,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,32],f32>) -> !torch.vtensor<[64,32,3,3],f32>
  return %0 : !torch.vtensor<[64,32,3,3],f32>
}

// -----

// Forward pass and weight gradient transform the input each by itself: what they share would be kept between them.
// CHECK-LABEL: func.func @both(
// CHECK-COUNT-16: tensor.insert_slice %{{.*}} : tensor<4x4x4x32xf32> into tensor<16x4x4x4x32xf32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x32xf32>, tensor<16x32x64xf32>)
// CHECK-COUNT-16: tensor.insert_slice %{{.*}} : tensor<4x4x4x32xf32> into tensor<16x4x4x4x32xf32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<16x64x64xf32>, tensor<16x64x32xf32>)
func.func @both(%x: !torch.vtensor<[4,8,8,32],f32>, %w: !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[64,32,3,3],f32> {
  %0 = "sparsebp.convolution"(%x, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32>
  %1 = "sparsebp.conv_weight_grad"(%0, %x) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,32],f32>) -> !torch.vtensor<[64,32,3,3],f32>
  return %1 : !torch.vtensor<[64,32,3,3],f32>
}

// -----

// Not with a stride, a dilation, groups, other taps, few channels, or in f16.
// CHECK-LABEL: func.func @others(
// CHECK-NOT: tensor.insert_slice
func.func @others(%x: !torch.vtensor<[4,8,8,32],f32>, %w: !torch.vtensor<[64,32,3,3],f32>, %g: !torch.vtensor<[64,16,3,3],f32>, %k: !torch.vtensor<[64,32,2,2],f32>, %xf: !torch.vtensor<[4,8,8,16],f32>, %xh: !torch.vtensor<[4,8,8,32],f16>, %wh: !torch.vtensor<[64,32,3,3],f16>) -> (!torch.vtensor<[4,4,4,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,9,9,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,64],f16>) {
  %0 = "sparsebp.convolution"(%x, %w) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,4,4,64],f32>
  %1 = "sparsebp.convolution"(%x, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 2, 2>, dilation = array<i64: 2, 2>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,32,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32>
  %2 = "sparsebp.convolution"(%x, %g) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 2 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,16,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32>
  %3 = "sparsebp.convolution"(%x, %k) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f32>, !torch.vtensor<[64,32,2,2],f32>) -> !torch.vtensor<[4,9,9,64],f32>
  %4 = "sparsebp.convolution"(%xf, %g) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,16],f32>, !torch.vtensor<[64,16,3,3],f32>) -> !torch.vtensor<[4,8,8,64],f32>
  %5 = "sparsebp.convolution"(%xh, %wh) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[4,8,8,32],f16>, !torch.vtensor<[64,32,3,3],f16>) -> !torch.vtensor<[4,8,8,64],f16>
  return %0, %1, %2, %3, %4, %5 : !torch.vtensor<[4,4,4,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,9,9,64],f32>, !torch.vtensor<[4,8,8,64],f32>, !torch.vtensor<[4,8,8,64],f16>
}
