// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// A strided convolution.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.convolution"(%{{.*}}, %{{.*}}) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
func.func @used(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32> {
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return %0 : !torch.vtensor<[1,6,4,4],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.convolution"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) -> (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,6,4,4],f32>) {
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  %1 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return %0, %1 : !torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,6,4,4],f32>
}

// A depthwise convolution over one dimension, dilated.
// CHECK-LABEL: func.func @depthwise
// CHECK: dilation = array<i64: 2>, groups = 4 : i64
func.func @depthwise(%input: !torch.vtensor<[1,4,8],f32>, %weight: !torch.vtensor<[4,1,3],f32>) -> !torch.vtensor<[1,4,6],f32> {
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 1>, padding = array<i64: 1>, dilation = array<i64: 2>, groups = 4 : i64} : (!torch.vtensor<[1,4,8],f32>, !torch.vtensor<[4,1,3],f32>) -> !torch.vtensor<[1,4,6],f32>
  return %0 : !torch.vtensor<[1,4,6],f32>
}

// With channels last; the weight has the same layout.
// CHECK-LABEL: func.func @channels_last
// CHECK: "sparsebp.convolution"(%{{.*}}, %{{.*}}) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,8,8,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,4,6],f32>
func.func @channels_last(%input: !torch.vtensor<[1,8,8,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,4,6],f32> {
  %0 = "sparsebp.convolution"(%input, %weight) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,8,8,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,4,6],f32>
  return %0 : !torch.vtensor<[1,4,4,6],f32>
}

// Padding that is not the same at both ends.
// CHECK-LABEL: func.func @padded_behind
// CHECK: "sparsebp.convolution"(%{{.*}}, %{{.*}}) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 2>, stride = array<i64: 2, 1>}
func.func @padded_behind(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,8],f32> {
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 1>, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 2>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,8],f32>
  return %0 : !torch.vtensor<[1,6,4,8],f32>
}
