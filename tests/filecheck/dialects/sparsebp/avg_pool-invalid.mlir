// RUN: pock-opt %s --split-input-file --verify-diagnostics

// A kernel has an entry a dimension.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be 2 integers of at least 1, got [3]}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A kernel is positive.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be 2 integers of at least 1, got [0, 3]}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 0, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A kernel is an array of 64-bit integers.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{kernel must be array<i64: ...>, got array<i32: 3, 3>}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i32: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A stride is needed.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{needs the attribute stride}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// The output has the size of the pooled input.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools [8, 8] to [4, 4] to [5, 5], not to [6, 4]}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,6,4],f32>
  return
}

// -----

// Channels stay.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools the spatial dimensions of [N, C, ...], not [1, 2, 8, 8] to [1, 3, 4, 4]}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,3,4,4],f32>
  return
}

// -----

// Whether padding counts is yes or no.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{count_include_pad must be true or false, got 1 : i64}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = 1 : i64, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// A divisor is not negative.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{divisor_override must be at least 0, got -4}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = -4 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{mixes the element types f32, f16}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f16>
  return
}

// -----

// With channels last these shapes are wrong; the message has PyTorch's layout.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{pools the spatial dimensions of [N, C, ...], not [1, 8, 2, 8] to [1, 4, 2, 4]}}
  %0 = "sparsebp.avg_pool"(%input) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// -----

// Having channels last is no truth value.
func.func @invalid(%input: !torch.vtensor<[1,2,8,8],f32>) {
  // expected-error@below {{channels_last has no value, got true}}
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64, channels_last = true} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}
