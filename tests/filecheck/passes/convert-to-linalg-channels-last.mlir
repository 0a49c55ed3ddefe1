// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// A convolution of long rows is the named one. Its filter is reordered behind a barrier: folded into the
// convolution, the transposition would take many times as long.
// CHECK-LABEL: func.func @named
// CHECK-DAG: %[[X:.*]] = torch_c.to_builtin_tensor %arg0
// CHECK-DAG: %[[W:.*]] = torch_c.to_builtin_tensor %arg1
// CHECK: %[[PADDED:.*]] = tensor.pad %[[X]] low[0, 1, 1, 0] high[0, 1, 1, 0]
// CHECK: %[[BY_TAP:.*]] = linalg.transpose ins(%[[W]] : tensor<6x4x3x3xf32>) {{.*}} permutation = [2, 3, 1, 0]
// CHECK: %[[FILTER:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[BY_TAP]])
// CHECK: %[[Y:.*]] = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> {{.*}}, strides = dense<1> {{.*}}} ins(%[[PADDED]], %[[FILTER]]
// CHECK-NEXT: torch_c.from_builtin_tensor %[[Y]]
func.func @named(%x: !torch.vtensor<[2,9,16,4],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,9,16,6],f32> {
  %y = "sparsebp.convolution"(%x, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,9,16,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,9,16,6],f32>
  return %y : !torch.vtensor<[2,9,16,6],f32>
}

// Rows of less than sixteen positions are computed as a product of patches and the filter; what no window
// reads is not padded.
// CHECK-LABEL: func.func @short
// CHECK: %[[PADDED:.*]] = tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 0, 0, 0]
// CHECK: %[[COPIED:.*]] = linalg.generic {{.*}} ins(%[[PADDED]], {{.*}} outs(%{{.*}} : tensor<2x4x4x3x3x4xf32>)
// CHECK: %[[PATCHES:.*]] = tensor.collapse_shape %[[COPIED]] {{.*}} into tensor<32x36xf32>
// CHECK: "iree_tensor_ext.compute_barrier.start"(%{{.*}}) : (tensor<3x3x4x6xf32>)
// CHECK: %[[FILTER:.*]] = tensor.collapse_shape %{{.*}} into tensor<36x6xf32>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[PATCHES]], %[[FILTER]] : tensor<32x36xf32>, tensor<36x6xf32>)
// CHECK: arith.mulf
// CHECK: tensor.expand_shape %[[Y]] {{.*}} into tensor<2x4x4x6xf32>
func.func @short(%x: !torch.vtensor<[2,8,8,4],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,4,6],f32> {
  %y = "sparsebp.convolution"(%x, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,8,8,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,4,6],f32>
  return %y : !torch.vtensor<[2,4,4,6],f32>
}

// A pointwise convolution is a product of the image as it is and the filter.
// CHECK-LABEL: func.func @pointwise(
// CHECK: %[[X:.*]] = torch_c.to_builtin_tensor %arg0
// CHECK: %[[FILTER:.*]] = tensor.collapse_shape %{{.*}} into tensor<4x6xf32>
// CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1, 2], [3]] : tensor<2x8x8x4xf32> into tensor<128x4xf32>
// CHECK: %[[PRODUCT:.*]] = linalg.generic {{.*}}"parallel", "parallel", "reduction"]} ins(%[[ROWS]], %[[FILTER]] : tensor<128x4xf32>, tensor<4x6xf32>)
// CHECK: %[[Y:.*]] = tensor.expand_shape %[[PRODUCT]] {{.*}} into tensor<2x8x8x6xf32>
// CHECK: torch_c.from_builtin_tensor %[[Y]]
func.func @pointwise(%x: !torch.vtensor<[2,8,8,4],f32>, %w: !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,8,8,6],f32> {
  %y = "sparsebp.convolution"(%x, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,4],f32>, !torch.vtensor<[6,4,1,1],f32>) -> !torch.vtensor<[2,8,8,6],f32>
  return %y : !torch.vtensor<[2,8,8,6],f32>
}

// A depthwise convolution is the named one, whatever its stride; f16 accumulates in f32.
// CHECK-LABEL: func.func @depthwise(
// CHECK: %[[FILTER:.*]] = "iree_tensor_ext.compute_barrier.start"(%{{.*}}) : (tensor<3x3x4xf16>)
// CHECK: %[[Y:.*]] = linalg.depthwise_conv_2d_nhwc_hwc {dilations = dense<1> {{.*}}, strides = dense<2> {{.*}}} ins(%{{.*}}, %[[FILTER]] : {{.*}}) outs(%{{.*}} : tensor<2x4x4x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[Y]]
// CHECK: arith.truncf %{{.*}} : f32 to f16
func.func @depthwise(%x: !torch.vtensor<[2,8,8,4],f16>, %w: !torch.vtensor<[4,1,3,3],f16>) -> !torch.vtensor<[2,4,4,4],f16> {
  %y = "sparsebp.convolution"(%x, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,8,8,4],f16>, !torch.vtensor<[4,1,3,3],f16>) -> !torch.vtensor<[2,4,4,4],f16>
  return %y : !torch.vtensor<[2,4,4,4],f16>
}

// With several filters a channel it has no name: a loop over positions has all taps in its body.
// CHECK-LABEL: func.func @depthwise_multiplied
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} {{.*}} outs(%{{.*}} : tensor<2x8x8x4x2xf32>)
// CHECK-COUNT-9: arith.mulf %{{.*}} : f32
// CHECK: linalg.yield
func.func @depthwise_multiplied(%x: !torch.vtensor<[2,8,8,4],f16>, %w: !torch.vtensor<[8,1,3,3],f16>) -> !torch.vtensor<[2,8,8,8],f16> {
  %y = "sparsebp.convolution"(%x, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,4],f16>, !torch.vtensor<[8,1,3,3],f16>) -> !torch.vtensor<[2,8,8,8],f16>
  return %y : !torch.vtensor<[2,8,8,8],f16>
}

// The input gradient is a convolution with the filter flipped and its channels exchanged, by a table of taps.
// CHECK-LABEL: func.func @input_grad
// CHECK-DAG: arith.constant dense<{{\[\[\[\[}}8, 7, 6], [5, 4, 3], [2, 1, 0]]]]> : tensor<1x1x3x3xi32>
// CHECK: tensor.extract
// CHECK: "iree_tensor_ext.compute_barrier.start"
// CHECK: %[[DX:.*]] = linalg.conv_2d_nhwc_hwcf
// CHECK-NEXT: torch_c.from_builtin_tensor %[[DX]]
func.func @input_grad(%g: !torch.vtensor<[2,8,16,6],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,8,16,4],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,16,6],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,8,16,4],f32>
  return %dx : !torch.vtensor<[2,8,16,4],f32>
}

// With a stride a depthwise input gradient is gathered: positions are quotients and phases, and each offset of
// the four has its taps by phase, or zeros.
// CHECK-LABEL: func.func @strided_depthwise_input_grad
// CHECK-DAG: dense<{{\[\[}}-1, -1], [-1, 0]]> : tensor<2x2xi32>
// CHECK-DAG: dense<{{\[\[}}4, 5], [7, 8]]> : tensor<2x2xi32>
// CHECK-COUNT-4: tensor.extract %
// CHECK: %[[BY_PHASE:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x2x4x2x4xf32>)
// CHECK-COUNT-4: arith.mulf
// CHECK: linalg.yield
// CHECK: tensor.collapse_shape %[[BY_PHASE]] {{.*}} into tensor<2x8x8x4xf32>
func.func @strided_depthwise_input_grad(%g: !torch.vtensor<[2,4,4,4],f32>, %w: !torch.vtensor<[4,1,3,3],f32>) -> !torch.vtensor<[2,8,8,4],f32> {
  %dx = "sparsebp.conv_input_grad"(%g, %w) {channels_last, dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,4,4,4],f32>, !torch.vtensor<[4,1,3,3],f32>) -> !torch.vtensor<[2,8,8,4],f32>
  return %dx : !torch.vtensor<[2,8,8,4],f32>
}

// A weight gradient is one product of the output gradient and patches over all positions of all images. It pads
// one row more than the forward convolution, to share nothing with it; its result is transposed, not its
// operands.
// CHECK-LABEL: func.func @weight_grad
// CHECK-NOT: linalg.transpose
// CHECK: tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 2, 1, 0]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<128x6xf32>, tensor<128x36xf32>) outs(%{{.*}} : tensor<6x36xf32>)
// CHECK: linalg.transpose ins(%{{.*}} : tensor<6x9x4xf32>)
func.func @weight_grad(%g: !torch.vtensor<[2,8,8,6],f32>, %x: !torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[6,4,3,3],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,6],f32>, !torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %dw : !torch.vtensor<[6,4,3,3],f32>
}

// That of a pointwise convolution needs no patches; the wider operand is the right one.
// CHECK-LABEL: func.func @pointwise_weight_grad
// CHECK-DAG: %[[G:.*]] = torch_c.to_builtin_tensor %arg0
// CHECK-DAG: %[[X:.*]] = torch_c.to_builtin_tensor %arg1
// CHECK-DAG: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{.*}} into tensor<128x4xf32>
// CHECK-DAG: %[[GRAD:.*]] = tensor.collapse_shape %[[G]] {{.*}} into tensor<128x6xf32>
// CHECK: linalg.generic {{.*}} ins(%[[ROWS]], %[[GRAD]] : tensor<128x4xf32>, tensor<128x6xf32>)
// CHECK: torch_c.from_builtin_tensor
func.func @pointwise_weight_grad(%g: !torch.vtensor<[2,8,8,6],f32>, %x: !torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[6,4,1,1],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,6],f32>, !torch.vtensor<[2,8,8,4],f32>) -> !torch.vtensor<[6,4,1,1],f32>
  return %dw : !torch.vtensor<[6,4,1,1],f32>
}

// A depthwise weight gradient is a convolution of each image with its gradient as the filter, added to that of
// the image before; stride and dilation change places.
// CHECK-LABEL: func.func @depthwise_weight_grad(
// CHECK: %[[ZERO:.*]] = linalg.fill {{.*}} outs(%{{.*}} : tensor<1x3x3x5xf32>)
// CHECK: tensor.pad %{{.*}} low[0, 1, 1, 0] high[0, 0, 0, 0]
// CHECK: %[[FIRST:.*]] = linalg.depthwise_conv_2d_nhwc_hwc {dilations = dense<2> {{.*}}, strides = dense<1> {{.*}} : tensor<1x9x9x5xf32>, tensor<4x4x5xf32>) outs(%[[ZERO]]
// CHECK: %[[SECOND:.*]] = linalg.depthwise_conv_2d_nhwc_hwc {{.*}} outs(%[[FIRST]]
// CHECK: tensor.collapse_shape %[[SECOND]] {{.*}} into tensor<9x5xf32>
func.func @depthwise_weight_grad(%g: !torch.vtensor<[2,4,4,5],f32>, %x: !torch.vtensor<[2,8,8,5],f32>) -> !torch.vtensor<[5,1,3,3],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, dilation = array<i64: 1, 1>, groups = 5 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,4,4,5],f32>, !torch.vtensor<[2,8,8,5],f32>) -> !torch.vtensor<[5,1,3,3],f32>
  return %dw : !torch.vtensor<[5,1,3,3],f32>
}

// Of more than 32 images it is one reduction with a sum for each tap.
// CHECK-LABEL: func.func @depthwise_weight_grad_of_many
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "reduction", "reduction"]
// CHECK-COUNT-4: arith.mulf
// CHECK: -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
func.func @depthwise_weight_grad_of_many(%g: !torch.vtensor<[33,7,7,4],f32>, %x: !torch.vtensor<[33,8,8,4],f32>) -> !torch.vtensor<[4,1,2,2],f32> {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 0, 0>, stride = array<i64: 1, 1>} : (!torch.vtensor<[33,7,7,4],f32>, !torch.vtensor<[33,8,8,4],f32>) -> !torch.vtensor<[4,1,2,2],f32>
  return %dw : !torch.vtensor<[4,1,2,2],f32>
}
