// RUN: pock-opt %s --split-input-file --verify-diagnostics

// A kernel has an entry a dimension.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be 2 integers of at least 1, got [3]}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A kernel is positive.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be 2 integers of at least 1, got [0, 3]}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 0, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A kernel is an array of 64-bit integers.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be array<i64: ...>, got array<i32: 3, 3>}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i32: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A stride is needed.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{needs the attribute stride}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// The output has the size of the pooled input.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools [8, 8] to [4, 4] to [5, 5], not to [4, 6]}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,6],f32>
  return
}

// -----

// There is a dimension to pool.
func.func @invalid(%input: !torch.vtensor<[8,8],f32>) {
  // expected-error@below {{pools the spatial dimensions of [N, C, ...], not [8, 8] to [4, 4]}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[8,8],f32>) -> !torch.vtensor<[4,4],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{mixes the element types f32, f16}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f16>
  return
}

// -----

// With channels last these shapes are wrong; the message has PyTorch's layout.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools the spatial dimensions of [N, C, ...], not [1, 8, 2, 8] to [1, 4, 2, 4]}}
  %0 = "sparsebp.max_pool"(%input) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// Having channels last is no number.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{channels_last has no value, got 1 : i64}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, channels_last = 1 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// Pooling has no padding of its own behind the input.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pooling pads both ends alike: it has no padding_high}}
  %0 = "sparsebp.max_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, padding_high = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}
