// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Selecting everything is no selection.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{selects a range or a list of channels, not 'full'}}
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return
}

// -----

// The axis is one of the tensor.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{axis 2 is out of range for shape [4, 5]}}
  %0 = "sparsebp.select_channels"(%input) {axis = 2 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return
}

// -----

// An axis does not count from the end.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{axis -1 is out of range for shape [4, 5]}}
  %0 = "sparsebp.select_channels"(%input) {axis = -1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return
}

// -----

// Channels are there.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{mask reaches channel 5 of 'input_channels', which has 5}}
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 6>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return
}

// -----

// The result holds what is selected.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{result must have shape [4, 3], got !torch.vtensor<[4,4],f32>}}
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,4],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{mixes the element types f32, f64}}
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f64>
  return
}
