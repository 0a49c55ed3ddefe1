// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// The gradient of a table of ten rows.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.embedding_grad"(%{{.*}}, %{{.*}}) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
func.func @used(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32> {
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return %0 : !torch.vtensor<[10,8],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) {
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.embedding_grad"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%grad_output: !torch.vtensor<[2,3,8],f32>, %indices: !torch.vtensor<[2,3],si64>) -> (!torch.vtensor<[10,8],f32>, !torch.vtensor<[10,8],f32>) {
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  %1 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,8],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[10,8],f32>
  return %0, %1 : !torch.vtensor<[10,8],f32>, !torch.vtensor<[10,8],f32>
}

// Of a table that is trained from row 4 to row 7 only these rows have a gradient.
// CHECK-LABEL: func.func @rows
// CHECK: first_row = 4 : i64
func.func @rows(%grad_output: !torch.vtensor<[3,8],f32>, %indices: !torch.vtensor<[3],si64>) -> !torch.vtensor<[3,8],f32> {
  %0 = "sparsebp.embedding_grad"(%grad_output, %indices) {first_row = 4 : i64, padding_idx = 5 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[3,8],f32>, !torch.vtensor<[3],si64>) -> !torch.vtensor<[3,8],f32>
  return %0 : !torch.vtensor<[3,8],f32>
}
