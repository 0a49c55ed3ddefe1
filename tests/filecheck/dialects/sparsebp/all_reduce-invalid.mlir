// RUN: pock-opt %s --split-input-file --verify-diagnostics

// The sum has the shape of what is summed.
func.func @invalid(%x: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{the sum is of the summand's type, !torch.vtensor<[4,5],f32>, not !torch.vtensor<[5,4],f32>}}
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[5,4],f32>
  return
}

// -----

// A rank is one of the ranks.
func.func @invalid(%x: !torch.vtensor<[4],f32>) {
  // expected-error@below {{rank must be below ranks, 2, got 2}}
  %0 = "sparsebp.all_reduce"(%x) {rank = 2 : i64, ranks = 2 : i64} : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  return
}

// -----

// One has nobody to exchange with.
func.func @invalid(%x: !torch.vtensor<[4],f32>) {
  // expected-error@below {{ranks must be at least 2, got 1}}
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 1 : i64} : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  return
}

// -----

// Truth values are not summed.
func.func @invalid(%x: !torch.vtensor<[4],i1>) {
  // expected-error@below {{needs floating-point numbers, got i1}}
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (!torch.vtensor<[4],i1>) -> !torch.vtensor<[4],i1>
  return
}

// -----

// Nor are whole numbers, as MLIR's tensors either.
func.func @invalid(%x: tensor<4xi32>) {
  // expected-error@below {{needs floating-point numbers, got i32}}
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (tensor<4xi32>) -> tensor<4xi32>
  return
}
