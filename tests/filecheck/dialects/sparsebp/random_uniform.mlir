// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// A number for each sample of a batch.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.random_uniform"(%{{.*}}, %{{.*}}) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,1,1,1],f32>
func.func @used(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> !torch.vtensor<[4,1,1,1],f32> {
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,1,1,1],f32>
  return %0 : !torch.vtensor<[4,1,1,1],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.random_uniform"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  %1 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return %0, %1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}

// Numbers of different streams are different.
// CSE-LABEL: func.func @streams
// CSE: stream = 0
// CSE: stream = 1
func.func @streams(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %0 = "sparsebp.random_uniform"(%seed, %step) {stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  %1 = "sparsebp.random_uniform"(%seed, %step) {stream = 1 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],f32>
  return %0, %1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}
