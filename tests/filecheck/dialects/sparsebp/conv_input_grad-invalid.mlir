// RUN: pock-opt %s --split-input-file --verify-diagnostics

// There is at least one group.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{groups must be at least 1, got 0}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 0 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// The number of groups is an i64.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{groups must be an i64, got 1 : i32}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i32} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// Groups divide the channels.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{3 groups do not fit input [1, 4, 8, 8] and weight [6, 4, 3, 3]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 3 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// A stride has an entry a dimension.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{stride must be 2 integers of at least 1, got [2]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// A stride is positive.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{stride must be 2 integers of at least 1, got [2, 0]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 0>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// A stride is an array of integers.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{stride must be array<i64: ...>, got "2"}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = "2", padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// Padding is not negative.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{padding must be 2 integers of at least 0, got [-1, 1]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: -1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// A dilation is positive.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{dilation must be 2 integers of at least 1, got [0, 0]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 0, 0>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// A dilation is needed.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{needs the attribute dilation}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// The gradient has the size of the forward output.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,5,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{output of the forward convolution must be [1, 6, 4, 4], got [1, 6, 5, 4]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,5,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// Ranks agree.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{ranks differ: input [1, 4, 8], weight [6, 4, 3, 3], output [1, 6, 4, 4]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],bf16>) {
  // expected-error@below {{mixes the element types f32, f32, bf16}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],bf16>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// The gradient is a torch tensor.
func.func @invalid(%grad_output: tensor<1x6x4x4xf32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{expected a static !torch.vtensor, got tensor<1x6x4x4xf32>}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x6x4x4xf32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// With channels last these shapes are wrong; the message has PyTorch's layout.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{1 groups do not fit input [1, 8, 4, 8] and weight [6, 4, 3, 3]}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}

// -----

// Having channels last is no number.
func.func @invalid(%grad_output: !torch.vtensor<[1,6,4,4],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{channels_last has no value, got 1 : i64}}
  %0 = "sparsebp.conv_input_grad"(%grad_output, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64, channels_last = 1 : i64} : (!torch.vtensor<[1,6,4,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,4,8,8],f32>
  return
}
