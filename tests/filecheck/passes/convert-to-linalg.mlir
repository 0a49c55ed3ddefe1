// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// No convolution reads with a reversed map: iree-compile rejects one when it tiles.
// CHECK-NOT: affine_map<{{.*}} - d

// Channels behind the batch are put last and back: between, a pointwise convolution is a product.
// CHECK-LABEL: func.func @pointwise(
// CHECK-DAG: %[[X:.*]] = torch_c.to_builtin_tensor %arg0
// CHECK-DAG: %[[IMAGE:.*]] = linalg.transpose ins(%[[X]] : tensor<2x4x8x8xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: %[[FILTER:.*]] = tensor.collapse_shape %{{.*}} into tensor<4x6xf32>
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[IMAGE]] {{.*}} into tensor<128x4xf32>
// CHECK: %[[PRODUCT:.*]] = linalg.generic {{.*}} ins(%[[ROWS]], %[[FILTER]] : tensor<128x4xf32>, tensor<4x6xf32>)
// CHECK: %[[OVER_SPACE:.*]] = tensor.expand_shape %[[PRODUCT]] {{.*}} into tensor<2x8x8x6xf32>
// CHECK: %[[Y:.*]] = linalg.transpose ins(%[[OVER_SPACE]] : tensor<2x8x8x6xf32>) {{.*}} permutation = [0, 3, 1, 2]
// CHECK: torch_c.from_builtin_tensor %[[Y]]
func.func @pointwise(%x: !torch.vtensor<[2,4,8,8],f32>, %w: !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,6,8,8],f32> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %false = torch.constant.bool false
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[6,4,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,8,8],f32>
  return %y : !torch.vtensor<[2,6,8,8],f32>
}

// The bias comes behind the product with patches.
// CHECK-LABEL: func.func @strided(
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x36xf32>, tensor<36x6xf32>)
// CHECK: arith.mulf
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x4x4x6xf32>, tensor<6xf32>)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.addf
// CHECK: linalg.transpose ins(%[[Y]] : tensor<2x4x4x6xf32>) {{.*}} permutation = [0, 3, 1, 2]
func.func @strided(%x: !torch.vtensor<[2,4,8,8],f32>, %w: !torch.vtensor<[6,4,3,3],f32>, %b: !torch.vtensor<[6],f32>) -> !torch.vtensor<[2,6,4,4],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %false = torch.constant.bool false
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %b, %twos, %ones, %ones, %false, %zeros, %1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,4,4],f32>
  return %y : !torch.vtensor<[2,6,4,4],f32>
}

// A depthwise convolution is the named one; f16 accumulates in f32, and is rounded behind the transposition.
// CHECK-LABEL: func.func @depthwise(
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x4x8x8xf16>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: %[[Y:.*]] = linalg.depthwise_conv_2d_nhwc_hwc {{.*}} outs(%{{.*}} : tensor<2x8x8x4xf32>)
// CHECK: linalg.transpose ins(%[[Y]] : tensor<2x8x8x4xf32>) {{.*}} permutation = [0, 3, 1, 2]
// CHECK: arith.truncf %{{.*}} : f32 to f16
func.func @depthwise(%x: !torch.vtensor<[2,4,8,8],f16>, %w: !torch.vtensor<[4,1,3,3],f16>) -> !torch.vtensor<[2,4,8,8],f16> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %4 = torch.constant.int 4
  %false = torch.constant.bool false
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %4 : !torch.vtensor<[2,4,8,8],f16>, !torch.vtensor<[4,1,3,3],f16>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f16>
  return %y : !torch.vtensor<[2,4,8,8],f16>
}

// A transposed convolution that has not been raised is torch-mlir's.
// CHECK-LABEL: func.func @transposed(
// CHECK: torch.aten.convolution
func.func @transposed(%x: !torch.vtensor<[2,4,8,8],f32>, %w: !torch.vtensor<[4,6,1,1],f32>) -> !torch.vtensor<[2,6,8,8],f32> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %true = torch.constant.bool true
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %true, %zeros, %1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,6,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,8,8],f32>
  return %y : !torch.vtensor<[2,6,8,8],f32>
}

// The input gradient is a convolution with the filter flipped and its channels exchanged, by a table of taps.
// CHECK-LABEL: func.func @input_grad(
// CHECK-DAG: arith.constant dense<{{\[\[\[\[}}8, 7, 6], [5, 4, 3], [2, 1, 0]]]]> : tensor<1x1x3x3xi32>
// CHECK-DAG: linalg.transpose ins(%{{.*}} : tensor<2x6x8x16xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: tensor.extract
// CHECK: linalg.conv_2d_nhwc_hwcf
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x8x16x4xf32>) {{.*}} permutation = [0, 3, 1, 2]
func.func @input_grad(%g: !torch.vtensor<[2,6,8,16],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,16],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,16],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,16],f32>
  return %dx : !torch.vtensor<[2,4,8,16],f32>
}

// With a stride each of the four phases is a convolution with its own taps, nine together, and they are interleaved.
// CHECK-LABEL: func.func @strided_input_grad(
// CHECK-DAG: dense<4> : tensor<1x1x1x1xi32>
// CHECK-DAG: dense<{{\[\[\[\[}}5, 3]]]]> : tensor<1x1x1x2xi32>
// CHECK-DAG: dense<{{\[\[\[\[}}7], [1]]]]> : tensor<1x1x2x1xi32>
// CHECK-DAG: dense<{{\[\[\[\[}}8, 6], [2, 0]]]]> : tensor<1x1x2x2xi32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x6xf32>, tensor<6x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x12xf32>, tensor<12x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x12xf32>, tensor<12x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x24xf32>, tensor<24x4xf32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x2x4x2x4xf32>)
// CHECK-COUNT-3: arith.select
// CHECK: tensor.collapse_shape %{{.*}} : tensor<2x4x2x4x2x4xf32> into tensor<2x8x8x4xf32>
func.func @strided_input_grad(%g: !torch.vtensor<[2,6,4,4],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// The phases that no tap reaches are not computed: of four only one is, and the others are zero.
// CHECK-LABEL: func.func @pointwise_strided_input_grad
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x6xf32>, tensor<6x4xf32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8x8x4xf32>)
// CHECK: arith.select
func.func @pointwise_strided_input_grad(%g: !torch.vtensor<[2,6,4,4],f32>, %w: !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,6,4,4],f32>, !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// Output gradient and input are put channels last, the weight gradient is as the weight is. It is one product
// over the positions of all images, however few.
// CHECK-LABEL: func.func @weight_grad(
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x6x8x8xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: linalg.transpose ins(%{{.*}} : tensor<2x4x8x8xf32>) {{.*}} permutation = [0, 2, 3, 1]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<128x6xf32>, tensor<128x36xf32>) outs(%{{.*}} : tensor<6x36xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<8x6xf32>, tensor<8x36xf32>) outs(%{{.*}} : tensor<6x36xf32>)
// CHECK-NOT: permutation = [0, 3, 1, 2]
// CHECK: return
func.func @weight_grad(%g: !torch.vtensor<[2,6,8,8],f32>, %x: !torch.vtensor<[2,4,8,8],f32>, %h: !torch.vtensor<[2,6,2,2],f32>, %z: !torch.vtensor<[2,4,2,2],f32>) -> (!torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  %dv = "sparsebp.conv_weight_grad"(%h, %z) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,2,2],f32>, !torch.vtensor<[2,4,2,2],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %dw, %dv : !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>
}

// A depthwise weight gradient is a convolution of each image with its gradient.
// CHECK-LABEL: func.func @depthwise_weight_grad(
// CHECK-COUNT-2: linalg.depthwise_conv_2d_nhwc_hwc
// CHECK: tensor.expand_shape %{{.*}} into tensor<4x1x2x2xf32>
func.func @depthwise_weight_grad(%g: !torch.vtensor<[2,4,7,7],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,1,2,2],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 0, 0>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,7,7],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,1,2,2],f32>
  return %dw : !torch.vtensor<[4,1,2,2],f32>
}
