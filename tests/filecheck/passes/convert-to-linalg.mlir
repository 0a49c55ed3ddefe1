// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// No convolution reads with a reversed map: iree-compile rejects one when it tiles.
// CHECK-NOT: affine_map<{{.*}} - d

// A pointwise convolution is a product of the filter and each image, whose positions keep their dimensions.
// CHECK-LABEL: func.func @pointwise
// CHECK-DAG: %[[X:.*]] = torch_c.to_builtin_tensor %arg0
// CHECK-DAG: %[[W:.*]] = torch_c.to_builtin_tensor %arg1
// CHECK-DAG: %[[FILTER:.*]] = tensor.collapse_shape %[[W]] {{.*}} into tensor<6x4xf32>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}}"parallel", "parallel", "parallel", "parallel", "reduction"]} ins(%[[FILTER]], %[[X]] : tensor<6x4xf32>, tensor<2x4x8x8xf32>)
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

// A strided convolution is a product with patches; what no window reads is not padded; the bias comes last.
// CHECK-LABEL: func.func @strided
// CHECK: tensor.pad %{{.*}} low[0, 0, 1, 1] high[0, 0, 0, 0]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x3x3x4x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<6x36xf32>, tensor<2x36x4x4xf32>)
// CHECK: arith.mulf
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x6x4x4xf32>, tensor<6xf32>)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.addf
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

// A depthwise convolution has its taps in the body; f16 accumulates in f32.
// CHECK-LABEL: func.func @depthwise
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
// CHECK-COUNT-9: arith.mulf %{{.*}} : f32
// CHECK: linalg.yield
// CHECK: arith.truncf %{{.*}} : f32 to f16
// CHECK: torch_c.from_builtin_tensor
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
// CHECK-LABEL: func.func @transposed
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

// The input gradient reads the filter flipped and its channels exchanged, by a table of taps.
// CHECK-LABEL: func.func @input_grad
// CHECK-DAG: arith.constant dense<{{\[\[\[\[}}8, 7, 6], [5, 4, 3], [2, 1, 0]]]]> : tensor<1x1x3x3xi32>
// CHECK: tensor.extract
// CHECK-NOT: linalg.transpose
// CHECK: linalg.generic
func.func @input_grad(%g: !torch.vtensor<[2,6,8,8],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// With a stride there is a filter for each of the four phases, and the phases are interleaved.
// CHECK-LABEL: func.func @strided_input_grad
// CHECK-DAG: dense<{{\[\[\[\[}}4, -1], [-1, -1]], {{\[\[}}5, 3], [-1, -1]]], {{\[\[\[}}7, -1], [1, -1]], {{\[\[}}8, 6], [2, 0]]]]> : tensor<2x2x2x2xi32>
// CHECK-DAG: dense<[0, 1, 0, 1, 0, 1, 0, 1]> : tensor<8xi32>
// CHECK-DAG: dense<[0, 0, 1, 1, 2, 2, 3, 3]> : tensor<8xi32>
func.func @strided_input_grad(%g: !torch.vtensor<[2,6,4,4],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// The phases that no tap reaches are not computed: of four only one is, and the others are zero.
// CHECK-LABEL: func.func @pointwise_strided_input_grad
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<4x6xf32>, tensor<2x6x4x4xf32>)
// CHECK: linalg.generic
// CHECK: arith.select
func.func @pointwise_strided_input_grad(%g: !torch.vtensor<[2,6,4,4],f32>, %w: !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,6,4,4],f32>, !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// A weight gradient is a product for each image, summed; with few positions, one over the batch too.
// It pads one row more than the forward convolution, to share nothing with it.
// CHECK-LABEL: func.func @weight_grad
// CHECK-DAG: tensor.pad %{{.*}} low[0, 0, 1, 1] high[0, 0, 2, 1]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x6x8x8xf32>, tensor<2x36x8x8xf32>) outs(%{{.*}} : tensor<2x6x36xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<2x6x36xf32>) outs(%{{.*}} : tensor<6x36xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<6x8xf32>, tensor<8x36xf32>) outs(%{{.*}} : tensor<6x36xf32>)
func.func @weight_grad(%g: !torch.vtensor<[2,6,8,8],f32>, %x: !torch.vtensor<[2,4,8,8],f32>, %h: !torch.vtensor<[2,6,2,2],f32>, %z: !torch.vtensor<[2,4,2,2],f32>) -> (!torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  %dv = "sparsebp.conv_weight_grad"(%h, %z) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,6,2,2],f32>, !torch.vtensor<[2,4,2,2],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %dw, %dv : !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>
}

// A depthwise weight gradient is one reduction with a sum for each tap.
// CHECK-LABEL: func.func @depthwise_weight_grad
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "reduction", "reduction"]
// CHECK-COUNT-4: arith.mulf
// CHECK: -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
func.func @depthwise_weight_grad(%g: !torch.vtensor<[2,4,7,7],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,1,2,2],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 0, 0>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,7,7],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,1,2,2],f32>
  return %dw : !torch.vtensor<[4,1,2,2],f32>
}
