// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Positions are si32.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{argmax must be si32, got !torch.vtensor<[1,2,4,4],si64>}}
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si64>
  return
}

// -----

// The result has the size of the pooled input.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools [8, 8] to [4, 4] to [5, 5], not to [4, 6]}}
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,6],si32>
  return
}

// -----

// With channels last these shapes are wrong; the message has PyTorch's layout.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools the spatial dimensions of [N, C, ...], not [1, 8, 2, 8] to [1, 4, 2, 4]}}
  %0 = "sparsebp.max_pool_argmax"(%input) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  return
}

// -----

// Having channels last is no number.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{channels_last has no value, got 1 : i64}}
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, channels_last = 1 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  return
}
