// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

// Average pooling.
// CHECK-LABEL: func.func @used
// CHECK: "sparsebp.avg_pool"(%{{.*}}) {count_include_pad = true, divisor_override = 0 : i64, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
func.func @used(%input: !torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32> {
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return %0 : !torch.vtensor<[1,2,4,4],f32>
}

// It has no effect: it vanishes when nobody uses it.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused(%input: !torch.vtensor<[1,2,8,8],f32>) {
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return
}

// Two of it become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[ONE:.*]] = "sparsebp.avg_pool"
// CSE-NEXT: return %[[ONE]], %[[ONE]]
func.func @merged(%input: !torch.vtensor<[1,2,8,8],f32>) -> (!torch.vtensor<[1,2,4,4],f32>, !torch.vtensor<[1,2,4,4],f32>) {
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  %1 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,8,8],f32>) -> !torch.vtensor<[1,2,4,4],f32>
  return %0, %1 : !torch.vtensor<[1,2,4,4],f32>, !torch.vtensor<[1,2,4,4],f32>
}

// With ceil_mode the output is larger by a window that the input does not fill.
// CHECK-LABEL: func.func @ceil_mode
// CHECK: -> !torch.vtensor<[1,2,4],f32>
func.func @ceil_mode(%input: !torch.vtensor<[1,2,7],f32>) -> !torch.vtensor<[1,2,4],f32> {
  %0 = "sparsebp.avg_pool"(%input) {kernel = array<i64: 2>, stride = array<i64: 2>, padding = array<i64: 0>, count_include_pad = false, divisor_override = 0 : i64} : (!torch.vtensor<[1,2,7],f32>) -> !torch.vtensor<[1,2,4],f32>
  return %0 : !torch.vtensor<[1,2,4],f32>
}

// With channels last the shapes are those of the other layout.
// CHECK-LABEL: func.func @channels_last
// CHECK: "sparsebp.avg_pool"(%{{.*}}) {channels_last, count_include_pad = true, divisor_override = 0 : i64, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],f32>
func.func @channels_last(%input: !torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],f32> {
  %0 = "sparsebp.avg_pool"(%input) {channels_last, kernel = array<i64: 3, 3>, stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[1,8,8,2],f32>) -> !torch.vtensor<[1,4,4,2],f32>
  return %0 : !torch.vtensor<[1,4,4,2],f32>
}
