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
