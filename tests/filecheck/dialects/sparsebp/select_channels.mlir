// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// The channels 1, 2 and 3 of five.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.select_channels"(%{{.*}}) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
func.func @used(%input: !torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32> {
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return %0 : !torch.vtensor<[4,3],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%input: !torch.vtensor<[4,5],f32>) {
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.select_channels"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%input: !torch.vtensor<[4,5],f32>) -> (!torch.vtensor<[4,3],f32>, !torch.vtensor<[4,3],f32>) {
  %0 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  %1 = "sparsebp.select_channels"(%input) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 4>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[4,3],f32>
  return %0, %1 : !torch.vtensor<[4,3],f32>, !torch.vtensor<[4,3],f32>
}

// A list of channels along the first dimension.
// CHECK-LABEL: func.func @listed
// CHECK: axis = 0 : i64, mask = #sparsebp.mask<"list", "rows", array<i64: 0, 3>>
func.func @listed(%input: !torch.vtensor<[4,5],f32>) -> !torch.vtensor<[2,5],f32> {
  %0 = "sparsebp.select_channels"(%input) {axis = 0 : i64, mask = #sparsebp.mask<"list", "rows", array<i64: 0, 3>>} : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[2,5],f32>
  return %0 : !torch.vtensor<[2,5],f32>
}
