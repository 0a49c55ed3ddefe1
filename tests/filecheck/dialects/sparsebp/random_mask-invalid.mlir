// RUN: pock-opt %s --split-input-file --verify-diagnostics

// The seed is a scalar.
func.func @invalid(%seed: !torch.vtensor<[1],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{seed must be !torch.vtensor<[],si64>, got !torch.vtensor<[1],si64>}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[1],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return
}

// -----

// The step is an integer.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],f32>) {
  // expected-error@below {{step must be !torch.vtensor<[],si64>, got !torch.vtensor<[],f32>}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],f32>) -> !torch.vtensor<[4,8],i1>
  return
}

// -----

// Bits are bits.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{bits must be i1, got !torch.vtensor<[4,8],f32>}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],f32>
  return
}

// -----

// A probability is at most 1.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{probability must be in [0, 1], got 1.5}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 1.5 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return
}

// -----

// A probability is a number.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{probability must be in [0, 1], got nan}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 0x7FF8000000000000 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return
}

// -----

// Streams count from zero.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{stream must be at least 0, got -1}}
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = -1 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return
}
