// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// A mask is saved as it is.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.save"(%{{.*}}) : (!torch.vtensor<[4,5],i1>) -> !torch.vtensor<[4,5],i1>
func.func @used(%input: !torch.vtensor<[4,5],i1>) -> !torch.vtensor<[4,5],i1> {
  %0 = "sparsebp.save"(%input) : (!torch.vtensor<[4,5],i1>) -> !torch.vtensor<[4,5],i1>
  return %0 : !torch.vtensor<[4,5],i1>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%input: !torch.vtensor<[4],f32>) {
  %0 = "sparsebp.save"(%input) : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  return
}

// Two of it become one, which is another value than what it saves.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.save"
// CSE-NEXT: return %arg0, %[[ONE]], %[[ONE]]
func.func @merged(%input: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %0 = "sparsebp.save"(%input) : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  %1 = "sparsebp.save"(%input) : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  return %input, %0, %1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}
