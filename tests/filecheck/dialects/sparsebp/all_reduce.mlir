// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// Of numbers of any width, as PyTorch's tensors or MLIR's.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.all_reduce"(%{{.*}}) {rank = 0 : i64, ranks = 2 : i64} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,5],f32>
// CHECK: "sparsebp.all_reduce"(%{{.*}}) {rank = 3 : i64, ranks = 4 : i64} : (tensor<4xbf16>) -> tensor<4xbf16>
// CHECK: "sparsebp.all_reduce"(%{{.*}}) {rank = 1 : i64, ranks = 2 : i64} : (!torch.vtensor<[],f64>) -> !torch.vtensor<[],f64>
// CHECK: "sparsebp.all_reduce"(%{{.*}}) {rank = 0 : i64, ranks = 3 : i64} : (tensor<2x3xf16>) -> tensor<2x3xf16>
func.func @used(%x: !torch.vtensor<[4,5],f32>, %y: tensor<4xbf16>, %z: !torch.vtensor<[],f64>, %w: tensor<2x3xf16>) -> (!torch.vtensor<[4,5],f32>, tensor<4xbf16>, !torch.vtensor<[],f64>, tensor<2x3xf16>) {
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,5],f32>
  %1 = "sparsebp.all_reduce"(%y) {rank = 3 : i64, ranks = 4 : i64} : (tensor<4xbf16>) -> tensor<4xbf16>
  %2 = "sparsebp.all_reduce"(%z) {rank = 1 : i64, ranks = 2 : i64} : (!torch.vtensor<[],f64>) -> !torch.vtensor<[],f64>
  %3 = "sparsebp.all_reduce"(%w) {rank = 0 : i64, ranks = 3 : i64} : (tensor<2x3xf16>) -> tensor<2x3xf16>
  return %0, %1, %2, %3 : !torch.vtensor<[4,5],f32>, tensor<4xbf16>, !torch.vtensor<[],f64>, tensor<2x3xf16>
}

// What no rank needs, no rank exchanges.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%x: !torch.vtensor<[4],f32>) {
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  return
}
