// RUN: pock-opt %s | filecheck %s
// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt < %s -o - | filecheck %s

// A program goes through unchanged when there are no passes.
// CHECK-LABEL: func.func @keep
// CHECK: sparsebp.random_mask
func.func @keep(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 0.5 : f64}
    : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],i1>
  return
}
