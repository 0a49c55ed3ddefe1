// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// Bits of which half are 1.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.random_mask"(%{{.*}}, %{{.*}}) {probability = 5.000000e-01 : f64, stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
func.func @used(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1> {
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return %0 : !torch.vtensor<[4,8],i1>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) {
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.random_mask"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4,8],i1>, !torch.vtensor<[4,8],i1>) {
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  %1 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4,8],i1>
  return %0, %1 : !torch.vtensor<[4,8],i1>, !torch.vtensor<[4,8],i1>
}

// Masks of different streams are different.
// CSE-LABEL: func.func @streams
// CSE: stream = 0
// CSE: stream = 1
func.func @streams(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4],i1>, !torch.vtensor<[4],i1>) {
  %0 = "sparsebp.random_mask"(%seed, %step) {stream = 0 : i64, probability = 0.5 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],i1>
  %1 = "sparsebp.random_mask"(%seed, %step) {stream = 1 : i64, probability = 0.5 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],i1>
  return %0, %1 : !torch.vtensor<[4],i1>, !torch.vtensor<[4],i1>
}
