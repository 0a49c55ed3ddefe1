// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-schedule-updates)' | filecheck %s

"sparsebp.parameter"() {sym_name = "w0", type = tensor<4x4xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w1", type = tensor<4x4xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// An update moves up behind the last use of the old value, which here is the gradient of the layer's input; what
// is not part of an update keeps its order.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[4,4],f32>, %g1: !torch.vtensor<[4,4],f32>, %lr: !torch.vtensor<[],f32>) {
  %int1 = torch.constant.int 1
  %w0 = "sparsebp.read"() {symbol = @w0} : () -> !torch.vtensor<[4,4],f32>
  %w1 = "sparsebp.read"() {symbol = @w1} : () -> !torch.vtensor<[4,4],f32>
  %y = torch.aten.mm %x, %w0 : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  // CHECK: %[[DW1:.*]] = torch.aten.mm %{{.*}}, %arg1
  %dw1 = torch.aten.mm %y, %g1 : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  %w1t = torch.aten.t %w1 : !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  // CHECK: %[[T:.*]] = torch.aten.t
  // CHECK: %[[G0:.*]] = torch.aten.mm %arg1, %[[T]]
  // CHECK: %[[S1:.*]] = torch.aten.mul.Tensor %[[DW1]], %arg2
  // CHECK: %[[N1:.*]] = torch.aten.sub.Tensor %{{.*}}, %[[S1]]
  // CHECK: "sparsebp.assign"(%[[N1]]) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w1}
  // CHECK: %[[DW0:.*]] = torch.aten.mm %arg0, %[[G0]]
  // CHECK: "sparsebp.assign"(%{{.*}}) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w0}
  %g0 = torch.aten.mm %g1, %w1t : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  %dw0 = torch.aten.mm %x, %g0 : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  %s0 = torch.aten.mul.Tensor %dw0, %lr : !torch.vtensor<[4,4],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[4,4],f32>
  %n0 = torch.aten.sub.Tensor %w0, %s0, %int1 : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32>, !torch.int -> !torch.vtensor<[4,4],f32>
  "sparsebp.assign"(%n0) {symbol = @w0, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,4],f32>) -> ()
  %s1 = torch.aten.mul.Tensor %dw1, %lr : !torch.vtensor<[4,4],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[4,4],f32>
  %n1 = torch.aten.sub.Tensor %w1, %s1, %int1 : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32>, !torch.int -> !torch.vtensor<[4,4],f32>
  "sparsebp.assign"(%n1) {symbol = @w1, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x4xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// An assign that stands too early moves down, behind the last operation that looks at the old value, be it
// through views.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[4,4],f32>, %dw: !torch.vtensor<[4,4],f32>) -> !torch.vtensor<[4,4],f32> {
  %zero = torch.constant.int 0
  %one = torch.constant.int 1
  %order = torch.prim.ListConstruct %one, %zero : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,4],f32>
  %t = torch.aten.permute %w, %order : !torch.vtensor<[4,4],f32>, !torch.list<int> -> !torch.vtensor<[4,4],f32>
  %n = torch.aten.sub.Tensor %w, %dw, %one : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32>, !torch.int -> !torch.vtensor<[4,4],f32>
  // CHECK-NOT: sparsebp.assign
  // CHECK: torch.aten.mm
  // CHECK: torch.aten.relu
  // CHECK-NEXT: torch.aten.sub.Tensor
  // CHECK-NEXT: sparsebp.assign
  // CHECK-NEXT: torch.aten.mm
  "sparsebp.assign"(%n) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,4],f32>) -> ()
  %y = torch.aten.mm %x, %t : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  // IREE may compute the relu in the dispatch of the product that is its only producer: it has to come before too.
  %r = torch.aten.relu %y : !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  // This one reads what the relu has written.
  %z = torch.aten.mm %r, %x : !torch.vtensor<[4,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  return %z : !torch.vtensor<[4,4],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "p", type = tensor<4xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "#step", type = tensor<i64>, role = "step", initial = 0 : i64} : () -> ()

// The step count is overwritten by the operation that adds one: it waits for the update that needs the old count.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[4],f32>) {
  %one = torch.constant.int 1
  %six = torch.constant.int 6
  %none = torch.constant.none
  %false = torch.constant.bool false
  %count = "sparsebp.read"() {symbol = @"#step"} : () -> !torch.vtensor<[],si64>
  %next = torch.aten.add.Scalar %count, %one, %one : !torch.vtensor<[],si64>, !torch.int, !torch.int -> !torch.vtensor<[],si64>
  "sparsebp.assign"(%next) {symbol = @"#step", mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[],si64>) -> ()
  %number = torch.aten.to.dtype %count, %six, %false, %false, %none : !torch.vtensor<[],si64>, !torch.int, !torch.bool, !torch.bool, !torch.none -> !torch.vtensor<[],f32>
  %scaled = torch.aten.mul.Tensor %g, %number : !torch.vtensor<[4],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[4],f32>
  %p = "sparsebp.read"() {symbol = @p} : () -> !torch.vtensor<[4],f32>
  %n = torch.aten.sub.Tensor %p, %scaled, %one : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  // CHECK: torch.aten.to.dtype
  // CHECK: torch.aten.mul.Tensor
  // CHECK: torch.aten.add.Scalar
  // CHECK-NEXT: "sparsebp.assign"(%{{.*}}) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @"#step"}
  "sparsebp.assign"(%n) {symbol = @p, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}
