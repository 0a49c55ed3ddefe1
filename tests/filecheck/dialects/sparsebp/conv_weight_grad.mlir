// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// The gradient of a strided convolution with respect to its weight.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.conv_weight_grad"(%{{.*}}, %{{.*}}) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
func.func @used(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %input: !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %0 : !torch.vtensor<[6,4,3,3],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %input: !torch.vtensor<[1,4,8,8],f32>) {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.conv_weight_grad"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %input: !torch.vtensor<[1,4,8,8],f32>) -> (!torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>) {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  %1 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %0, %1 : !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[6,4,3,3],f32>
}

// A grouped convolution.
// CHECK-LABEL: func.func @grouped
// CHECK: groups = 2 : i64
func.func @grouped(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %input: !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,2,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 2 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,2,3,3],f32>
  return %0 : !torch.vtensor<[6,2,3,3],f32>
}

// With channels last; the weight has the same layout.
// CHECK-LABEL: func.func @channels_last
// CHECK: "sparsebp.conv_weight_grad"(%{{.*}}, %{{.*}}) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,4,4,6],f32>, !torch.vtensor<[1,8,8,4],f32>) -> !torch.vtensor<[6,4,3,3],f32>
func.func @channels_last(%grad_output: !torch.vtensor<[1,4,4,6],f32>, %input: !torch.vtensor<[1,8,8,4],f32>) -> !torch.vtensor<[6,4,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,4,6],f32>, !torch.vtensor<[1,8,8,4],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %0 : !torch.vtensor<[6,4,3,3],f32>
}

// Of a convolution whose padding is not the same at both ends.
// CHECK-LABEL: func.func @padded_behind
// CHECK: padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>
func.func @padded_behind(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %input: !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%grad_output, %input) {stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  return %0 : !torch.vtensor<[6,4,3,3],f32>
}
