// RUN: pock-opt %s --split-input-file --verify-diagnostics

// The seed is an integer.
func.func @invalid(%seed: !torch.vtensor<[],f32>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{seed must be !torch.vtensor<[],si64>, got !torch.vtensor<[],f32>}}
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],f32>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return
}

// -----

// The step is a scalar.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[1],si64>) {
  // expected-error@below {{step must be !torch.vtensor<[],si64>, got !torch.vtensor<[1],si64>}}
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[1],si64>) -> !torch.vtensor<[4],f32>
  return
}

// -----

// Numbers have the precision that their 24 bits fill.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{numbers must be f32, got !torch.vtensor<[4],f16>}}
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f16>
  return
}

// -----

// Streams count from zero.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{stream must be at least 0, got -1}}
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = -1 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return
}

// -----

// A draw belongs to a stream.
func.func @invalid(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  // expected-error@below {{needs the attribute stream}}
  %0 = "sparsebp.random_uniform"(%seed, %step) : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return
}
