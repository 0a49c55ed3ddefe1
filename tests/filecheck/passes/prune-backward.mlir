// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-prune-backward)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-prune-backward,sparsebp-prune-backward)' | filecheck %s

"sparsebp.parameter"() {sym_name = "w0", type = tensor<4x4xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w1", type = tensor<4x4xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w2", type = tensor<4x2xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Backward ends at the earliest trained layer. Of the frozen layers in front of it no update is left, no gradient
// and nothing that was saved for one: the activation between them has one user, the next layer.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[8,4],f32>, %g: !torch.vtensor<[8,2],f32>) -> !torch.vtensor<[8,2],f32> {
  // CHECK: %[[W0:.*]] = "sparsebp.read"() {symbol = @w0}
  %w0 = "sparsebp.read"() {symbol = @w0} : () -> !torch.vtensor<[4,4],f32>
  // CHECK: %[[W1:.*]] = "sparsebp.read"() {symbol = @w1}
  %w1 = "sparsebp.read"() {symbol = @w1} : () -> !torch.vtensor<[4,4],f32>
  // CHECK: %[[W2:.*]] = "sparsebp.read"() {symbol = @w2}
  %w2 = "sparsebp.read"() {symbol = @w2} : () -> !torch.vtensor<[4,2],f32>
  // CHECK: %[[H0:.*]] = torch.aten.mm %arg0, %[[W0]]
  %h0 = torch.aten.mm %x, %w0 : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[8,4],f32>
  // CHECK-NEXT: %[[H1:.*]] = torch.aten.mm %[[H0]], %[[W1]]
  %h1 = torch.aten.mm %h0, %w1 : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[8,4],f32>
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.mm %[[H1]], %[[W2]]
  %y = torch.aten.mm %h1, %w2 : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,2],f32> -> !torch.vtensor<[8,2],f32>
  // CHECK-NEXT: %[[T:.*]] = torch.aten.t %[[H1]]
  %h1t = torch.aten.t %h1 : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  // CHECK-NEXT: %[[DW2:.*]] = torch.aten.mm %[[T]], %arg1
  %dw2 = torch.aten.mm %h1t, %g : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,2],f32> -> !torch.vtensor<[4,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[DW2]]) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w2}
  "sparsebp.update"(%dw2) {symbol = @w2, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  %w2t = torch.aten.t %w2 : !torch.vtensor<[4,2],f32> -> !torch.vtensor<[2,4],f32>
  %g1 = torch.aten.mm %g, %w2t : !torch.vtensor<[8,2],f32>, !torch.vtensor<[2,4],f32> -> !torch.vtensor<[8,4],f32>
  %h0t = torch.aten.t %h0 : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  %dw1 = torch.aten.mm %h0t, %g1 : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,4],f32>
  "sparsebp.update"(%dw1) {symbol = @w1, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,4],f32>) -> ()
  %w1t = torch.aten.t %w1 : !torch.vtensor<[4,4],f32> -> !torch.vtensor<[4,4],f32>
  %g0 = torch.aten.mm %g1, %w1t : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[8,4],f32>
  %xt = torch.aten.t %x : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  %dw0 = torch.aten.mm %xt, %g0 : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,4],f32>
  "sparsebp.update"(%dw0) {symbol = @w0, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,4],f32>) -> ()
  // CHECK-NEXT: return %[[Y]]
  return %y : !torch.vtensor<[8,2],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// Where everything is frozen, the step computes its loss and no more.
// CHECK-LABEL: func.func @step
// CHECK-NEXT: %[[W:.*]] = "sparsebp.read"() {symbol = @w}
// CHECK-NEXT: %[[Y:.*]] = torch.aten.mm %arg0, %[[W]]
// CHECK-NEXT: return %[[Y]]
func.func @step(%x: !torch.vtensor<[8,4],f32>, %g: !torch.vtensor<[8,2],f32>) -> !torch.vtensor<[8,2],f32> {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  %y = torch.aten.mm %x, %w : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,2],f32> -> !torch.vtensor<[8,2],f32>
  %xt = torch.aten.t %x : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  %dw = torch.aten.mm %xt, %g : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,2],f32> -> !torch.vtensor<[4,2],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return %y : !torch.vtensor<[8,2],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<6x8x3x3xf32>, dimensions = ["output_channels", "input_channels", "kernel_h", "kernel_w"], role = "parameter", mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<6xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Of the saved activation only a slice is saved: it is made where the activation is, behind which the convolution in
// the forward pass is the only user of all of it. The bias is trained from the whole gradient.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,8,8,8],f32>, %loss: !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[2,6,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[6,8,3,3],f32>
  %b = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[6],f32>
  // CHECK: %[[A:.*]] = torch.aten.relu %arg0
  %a = torch.aten.relu %x : !torch.vtensor<[2,8,8,8],f32> -> !torch.vtensor<[2,8,8,8],f32>
  // CHECK-NEXT: %[[S:.*]] = "sparsebp.select_channels"(%[[A]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>} : (!torch.vtensor<[2,8,8,8],f32>) -> !torch.vtensor<[2,2,8,8],f32>
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.convolution %[[A]]
  // CHECK-NOT: %[[A]]
  %y = torch.aten.convolution %a, %w, %b, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[6,8,3,3],f32>, !torch.vtensor<[6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,8,8],f32>
  // CHECK: %[[G:.*]] = torch.aten.sub.Tensor %[[Y]], %arg1
  %g = torch.aten.sub.Tensor %y, %loss, %int1 : !torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>, !torch.int -> !torch.vtensor<[2,6,8,8],f32>
  // CHECK: %[[DW:.*]] = "sparsebp.conv_weight_grad"(%[[G]], %[[S]])
  %dw = "sparsebp.conv_weight_grad"(%g, %a) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[2,8,8,8],f32>) -> !torch.vtensor<[6,8,3,3],f32>
  // CHECK: %[[DB:.*]] = torch.aten.sum.dim_IntList %[[G]]
  %db = torch.aten.sum.dim_IntList %g, %dims, %false, %none : !torch.vtensor<[2,6,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[6],f32>
  // CHECK: "sparsebp.update"(%[[DW]]) {mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>, symbol = @w} : (!torch.vtensor<[6,2,3,3],f32>)
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6,8,3,3],f32>) -> ()
  // CHECK: "sparsebp.update"(%[[DB]]) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @b}
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6],f32>) -> ()
  return %y : !torch.vtensor<[2,6,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["output_channels", "input_channels", "kernel_h", "kernel_w"], role = "parameter", mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 2>>} : () -> ()

// A selection of the input channels of each group stands behind the activation.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,6,8,8],f32>, %g: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,6,8,8],f32> {
  // CHECK: %[[A:.*]] = torch.aten.relu %arg0
  // CHECK-NEXT: %[[S:.*]] = "sparsebp.select_channels"(%[[A]]) {axis = 1 : i64, mask = #sparsebp.mask<"list", "input_channels", array<i64: 1, 4>>}
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.neg %[[A]]
  %a = torch.aten.relu %x : !torch.vtensor<[2,6,8,8],f32> -> !torch.vtensor<[2,6,8,8],f32>
  %y = torch.aten.neg %a : !torch.vtensor<[2,6,8,8],f32> -> !torch.vtensor<[2,6,8,8],f32>
  // CHECK: "sparsebp.conv_weight_grad"(%arg1, %[[S]])
  %dw = "sparsebp.conv_weight_grad"(%g, %a) {groups = 2 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,3,3,3],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,3,3,3],f32>) -> ()
  return %y : !torch.vtensor<[2,6,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"list", "in", array<i64: 0, 3>>} : () -> ()

// A value that is needed whole behind the selection is there anyway, and so is an argument: nothing is hoisted. Nor
// does a selection go through an operation whose result has other users: that is computed anyway.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[8,4],f32>, %g: !torch.vtensor<[8,3],f32>) -> (!torch.vtensor<[8,4],f32>, !torch.vtensor<[8,4],f32>) {
  // CHECK: %[[E:.*]] = torch.aten.exp %arg0
  %e = torch.aten.exp %x : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[8,4],f32>
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.neg %[[E]]
  %y = torch.aten.neg %e : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[8,4],f32>
  // CHECK-NEXT: %[[S:.*]] = "sparsebp.select_channels"(%[[E]]) {axis = 1 : i64, mask = #sparsebp.mask<"list", "in", array<i64: 0, 3>>}
  // CHECK-NEXT: %[[X:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"list", "in", array<i64: 0, 3>>}
  // CHECK-NEXT: %[[P:.*]] = torch.aten.mul.Tensor %[[S]], %[[X]]
  %p = torch.aten.mul.Tensor %e, %x : !torch.vtensor<[8,4],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[8,4],f32>
  // CHECK-NEXT: %[[T:.*]] = torch.aten.t %[[P]]
  %t = torch.aten.t %p : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  // CHECK-NEXT: torch.aten.mm %[[T]], %arg1
  %dw = torch.aten.mm %t, %g : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,3],f32> -> !torch.vtensor<[4,3],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,3],f32>) -> ()
  // CHECK: torch.aten.sin %[[E]]
  %z = torch.aten.sin %e : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[8,4],f32>
  return %y, %z : !torch.vtensor<[8,4],f32>, !torch.vtensor<[8,4],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "table", type = tensor<5x4xf32>, dimensions = ["rows", "features"], role = "parameter", mask = #sparsebp.mask<"range", "rows", array<i64: 1, 4>>} : () -> ()

// The gradient of a parameter that is used twice is a sum; rows of it are sums of rows.
// CHECK-LABEL: func.func @step
func.func @step(%h: !torch.vtensor<[3,4],f32>, %gy: !torch.vtensor<[3,5],f32>, %ge: !torch.vtensor<[3,4],f32>, %i: !torch.vtensor<[3],si64>) {
  %int1 = torch.constant.int 1
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "rows", array<i64: 1, 4>>}
  // CHECK-NEXT: %[[T:.*]] = torch.aten.t %[[G]]
  // CHECK-NEXT: %[[HEAD:.*]] = torch.aten.mm %[[T]], %arg0
  %gt = torch.aten.t %gy : !torch.vtensor<[3,5],f32> -> !torch.vtensor<[5,3],f32>
  %head = torch.aten.mm %gt, %h : !torch.vtensor<[5,3],f32>, !torch.vtensor<[3,4],f32> -> !torch.vtensor<[5,4],f32>
  // CHECK-NEXT: %[[LOOKUP:.*]] = "sparsebp.embedding_grad"(%arg2, %arg3) {first_row = 1 : i64
  %lookup = "sparsebp.embedding_grad"(%ge, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[3,4],f32>, !torch.vtensor<[3],si64>) -> !torch.vtensor<[5,4],f32>
  // CHECK-NEXT: %[[SUM:.*]] = torch.aten.add.Tensor %[[HEAD]], %[[LOOKUP]]
  %sum = torch.aten.add.Tensor %head, %lookup, %int1 : !torch.vtensor<[5,4],f32>, !torch.vtensor<[5,4],f32>, !torch.int -> !torch.vtensor<[5,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[SUM]])
  "sparsebp.update"(%sum) {symbol = @table, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[5,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"range", "out", array<i64: 0, 2>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<3xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"range", "channels", array<i64: 0, 2>>} : () -> ()

// A gradient of which all users need the same channels is computed for those, whatever the users call them.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[8,4],f32>, %g: !torch.vtensor<[8,3],f32>, %c: !torch.vtensor<[8,3],i1>) {
  %int0 = torch.constant.int 0
  %false = torch.constant.bool false
  %none = torch.constant.none
  %zero = torch.constant.float 0.0
  %dims = torch.prim.ListConstruct %int0 : (!torch.int) -> !torch.list<int>
  // CHECK: %[[C:.*]] = "sparsebp.select_channels"(%arg2)
  // CHECK-NEXT: %[[G:.*]] = "sparsebp.select_channels"(%arg1)
  // CHECK-NEXT: %[[DY:.*]] = torch.aten.where.ScalarOther %[[C]], %[[G]]
  // CHECK-NOT: sparsebp.select_channels
  %dy = torch.aten.where.ScalarOther %c, %g, %zero : !torch.vtensor<[8,3],i1>, !torch.vtensor<[8,3],f32>, !torch.float -> !torch.vtensor<[8,3],f32>
  %xt = torch.aten.t %x : !torch.vtensor<[8,4],f32> -> !torch.vtensor<[4,8],f32>
  // CHECK: torch.aten.mm %{{.*}}, %[[DY]]
  %dw = torch.aten.mm %xt, %dy : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,3],f32> -> !torch.vtensor<[4,3],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,3],f32>) -> ()
  // CHECK: torch.aten.sum.dim_IntList %[[DY]]
  %db = torch.aten.sum.dim_IntList %dy, %dims, %false, %none : !torch.vtensor<[8,3],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[3],f32>
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["out", "in"], role = "parameter", mask = #sparsebp.mask<"range", "out", array<i64: 0, 2>>} : () -> ()
"sparsebp.parameter"() {sym_name = "v", type = tensor<3x6xf32>, dimensions = ["out", "in"], role = "parameter", mask = #sparsebp.mask<"range", "in", array<i64: 0, 3>>} : () -> ()

// What turns out not to be needed is no user: the exponential is computed for two rows once the half of @v's
// gradient that takes all of it is gone.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[3,4],f32>, %y: !torch.vtensor<[3,3],f32>, %z: !torch.vtensor<[4,3],f32>) {
  %int1 = torch.constant.int 1
  // CHECK: %[[X:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0
  // CHECK-NEXT: %[[E:.*]] = torch.aten.exp %[[X]]
  // CHECK-NEXT: "sparsebp.update"(%[[E]])
  %e = torch.aten.exp %x : !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>
  "sparsebp.update"(%e) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  // CHECK-NEXT: "sparsebp.update"(%arg1)
  %m = torch.aten.mm %e, %z : !torch.vtensor<[3,4],f32>, !torch.vtensor<[4,3],f32> -> !torch.vtensor<[3,3],f32>
  %l = torch.prim.ListConstruct %y, %m : (!torch.vtensor<[3,3],f32>, !torch.vtensor<[3,3],f32>) -> !torch.list<vtensor>
  %c = torch.aten.cat %l, %int1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[3,6],f32>
  "sparsebp.update"(%c) {symbol = @v, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,6],f32>) -> ()
  return
}
