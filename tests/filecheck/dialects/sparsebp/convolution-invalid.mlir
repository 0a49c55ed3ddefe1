// RUN: pock-opt %s --split-input-file --verify-diagnostics

// There is at least one group.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{groups must be at least 1, got 0}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 0 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// The number of groups is an i64.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{groups must be an i64, got 1 : i32}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i32} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// A stride has an entry a dimension.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{stride must be 2 integers of at least 1, got [2]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// A dilation is positive.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{dilation must be 2 integers of at least 1, got [1, 0]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 0>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// Padding is not negative.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{padding must be 2 integers of at least 0, got [-1, 1]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: -1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// A padding is needed.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{needs the attribute padding}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// The groups divide the channels.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{3 groups do not fit input [1, 4, 8, 8] and weight [6, 4, 3, 3]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 3 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// The output has the size of the convolution.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{output of the forward convolution must be [1, 6, 4, 4], got [1, 6, 8, 4]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,8,4],f32>
  return
}

// -----

// There is a dimension to go over.
func.func @invalid(%input: !torch.vtensor<[1,4,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{ranks differ: input [1, 4, 8], weight [6, 4, 3, 3], output [1, 6, 4, 4]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f16>) {
  // expected-error@below {{mixes the element types f32, f16}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f16>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// With channels last these shapes are wrong; the message has PyTorch's layout.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{1 groups do not fit input [1, 8, 4, 8] and weight [6, 4, 3, 3]}}
  %0 = "sparsebp.convolution"(%input, %weight) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// Having channels last is no number.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{channels_last has no value, got 1 : i64}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64, channels_last = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// Padding behind the input is not negative either.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{padding_high must be 2 integers of at least 0, got [1, -1]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, padding_high = array<i64: 1, -1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// The output's size is that of the padded input.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{output of the forward convolution must be [1, 6, 4, 5], got [1, 6, 4, 4]}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, padding_high = array<i64: 1, 2>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}

// -----

// It is no number.
func.func @invalid(%input: !torch.vtensor<[1,4,8,8],f32>, %weight: !torch.vtensor<[6,4,3,3],f32>) {
  // expected-error@below {{padding_high must be array<i64: ...>, got 1 : i64}}
  %0 = "sparsebp.convolution"(%input, %weight) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, padding_high = 1 : i64, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[1,6,4,4],f32>
  return
}
