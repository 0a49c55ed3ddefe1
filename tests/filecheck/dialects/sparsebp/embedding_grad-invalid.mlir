// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Indices are integers.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],f32>) {
  // expected-error@below {{indices must be integers, got !torch.vtensor<[2,3],f32>}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],f32>) -> !torch.vtensor<[10,8],f32>
  return
}

// -----

// There is a row of the gradient for each index.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[6],si64>) {
  // expected-error@below {{gradient !torch.vtensor<[2,3,8],f32> does not fit indices !torch.vtensor<[6],si64> and table !torch.vtensor<[10,8],f32>}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[6],si64>) -> !torch.vtensor<[10,8],f32>
  return
}

// -----

// Gradient and table are of one width.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{does not fit indices}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,4],f32>
  return
}

// -----

// A table has two dimensions.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{does not fit indices}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[8],f32>
  return
}

// -----

// Rows count from zero.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{first_row must be at least 0, got -1}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = -1 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return
}

// -----

// There is no padding below -1.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{padding_idx must be at least -1, got -2}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -2 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return
}

// -----

// Scaling is on or off.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{scale_grad_by_freq must be true or false, got 0.000000e+00 : f32}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = 0.0 : f32} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return
}

// -----

// Element types agree.
func.func @invalid(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  // expected-error@below {{mixes the element types f32, f64}}
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f64>
  return
}
