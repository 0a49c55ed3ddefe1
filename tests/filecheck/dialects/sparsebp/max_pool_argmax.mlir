// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// Where the maxima are.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.max_pool_argmax"(%{{.*}}) {dilation = array<i64: 1, 1>, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
func.func @used(%input: !torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32> {
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  return %0 : !torch.vtensor<[1,2,4,4],si32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%input: !torch.vtensor<[1,2,8,8],f32>) {
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.max_pool_argmax"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%input: !torch.vtensor<[1,2,8,8],f32>) -> (!torch.vtensor<[1,2,4,4],si32>, !torch.vtensor<[1,2,4,4],si32>) {
  %0 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  %1 = "sparsebp.max_pool_argmax"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],si32>
  return %0, %1 : !torch.vtensor<[1,2,4,4],si32>, !torch.vtensor<[1,2,4,4],si32>
}

// With channels last the shapes are those of the other layout.
// CHECK-LABEL: func.func @channels_last
// CHECK: "sparsebp.max_pool_argmax"(%{{.*}}) {channels_last, dilation = array<i64: 1, 1>, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],si32>
func.func @channels_last(%input: !torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],si32> {
  %0 = "sparsebp.max_pool_argmax"(%input) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],si32>
  return %0 : !torch.vtensor<[1,4,4,2],si32>
}
