// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-prune-backward)' | filecheck %s

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x5xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Rows of a product are products of rows of the left operand.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[4,3],f32>, %b: !torch.vtensor<[3,5],f32>) {
  %dw = torch.aten.mm %a, %b : !torch.vtensor<[4,3],f32>, !torch.vtensor<[3,5],f32> -> !torch.vtensor<[4,5],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.mm %[[A]], %arg1 : !torch.vtensor<[2,3],f32>, !torch.vtensor<[3,5],f32> -> !torch.vtensor<[2,5],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x5xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"list", "d1", array<i64: 0, 2, 4>>} : () -> ()

// Columns come from the right one; a list of channels sinks as a range does.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[4,3],f32>, %b: !torch.vtensor<[3,5],f32>) {
  %dw = torch.aten.mm %a, %b : !torch.vtensor<[4,3],f32>, !torch.vtensor<[3,5],f32> -> !torch.vtensor<[4,5],f32>
  // CHECK: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"list", "d1", array<i64: 0, 2, 4>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.mm %arg0, %[[B]] : !torch.vtensor<[4,3],f32>, !torch.vtensor<[3,3],f32> -> !torch.vtensor<[4,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<6x4x5xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// A batch of products: batches come from both operands,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[6,4,3],f32>, %b: !torch.vtensor<[6,3,5],f32>) {
  %dw = torch.aten.bmm %a, %b : !torch.vtensor<[6,4,3],f32>, !torch.vtensor<[6,3,5],f32> -> !torch.vtensor<[6,4,5],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.bmm %[[A]], %[[B]] : !torch.vtensor<[2,4,3],f32>, !torch.vtensor<[2,3,5],f32> -> !torch.vtensor<[2,4,5],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6,4,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<6x4x5xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// rows from the left one,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[6,4,3],f32>, %b: !torch.vtensor<[6,3,5],f32>) {
  %dw = torch.aten.bmm %a, %b : !torch.vtensor<[6,4,3],f32>, !torch.vtensor<[6,3,5],f32> -> !torch.vtensor<[6,4,5],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.bmm %[[A]], %arg1 : !torch.vtensor<[6,2,3],f32>, !torch.vtensor<[6,3,5],f32> -> !torch.vtensor<[6,2,5],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6,4,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<6x4x5xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>} : () -> ()

// columns from the right one.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[6,4,3],f32>, %b: !torch.vtensor<[6,3,5],f32>) {
  %dw = torch.aten.bmm %a, %b : !torch.vtensor<[6,4,3],f32>, !torch.vtensor<[6,3,5],f32> -> !torch.vtensor<[6,4,5],f32>
  // CHECK: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.bmm %arg0, %[[B]] : !torch.vtensor<[6,4,3],f32>, !torch.vtensor<[6,3,2],f32> -> !torch.vtensor<[6,4,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6,4,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<5x3x4xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// The dimension is followed through permutations, negative positions included,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4,5],f32>) {
  %m1 = torch.constant.int -1
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %order = torch.prim.ListConstruct %m1, %i0, %i1 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %dw = torch.aten.permute %a, %order : !torch.vtensor<[3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[5,3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.permute %[[A]], %{{.*}} : !torch.vtensor<[2,4,5],f32>, !torch.list<int> -> !torch.vtensor<[5,2,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[5,3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<5x4x3xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>} : () -> ()

// and transpositions.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4,5],f32>) {
  %m1 = torch.constant.int -1
  %i0 = torch.constant.int 0
  %dw = torch.aten.transpose.int %a, %i0, %m1 : !torch.vtensor<[3,4,5],f32>, !torch.int, !torch.int -> !torch.vtensor<[5,4,3],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.transpose.int %[[A]], %{{.*}}, %{{.*}} : !torch.vtensor<[3,4,2],f32>, !torch.int, !torch.int -> !torch.vtensor<[2,4,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[5,4,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<5x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>} : () -> ()

// A matrix is transposed without saying how.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[4,5],f32>) {
  %dw = torch.aten.t %a : !torch.vtensor<[4,5],f32> -> !torch.vtensor<[5,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.t %[[A]] : !torch.vtensor<[4,2],f32> -> !torch.vtensor<[2,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[5,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x2x5xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d2", array<i64: 0, 2>>} : () -> ()

// A view keeps a dimension that has the same size behind as many elements, here two dimensions further on.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,1,2,5],f32>) {
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %i5 = torch.constant.int 5
  %size = torch.prim.ListConstruct %i3, %i2, %i5 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %dw = torch.aten.view %a, %size : !torch.vtensor<[3,1,2,5],f32>, !torch.list<int> -> !torch.vtensor<[3,2,5],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 3 : i64, mask = #sparsebp.mask<"range", "d2", array<i64: 0, 2>>}
  // CHECK: %[[W:.*]] = torch.aten.view %[[A]], %{{.*}} : !torch.vtensor<[3,1,2,2],f32>, !torch.list<int> -> !torch.vtensor<[3,2,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,2,5],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x10xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 4>>} : () -> ()

// Of two dimensions that a view merges, a selection is in general no selection of either: it stays.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,2,5],f32>) {
  %i10 = torch.constant.int 10
  %i3 = torch.constant.int 3
  %size = torch.prim.ListConstruct %i3, %i10 : (!torch.int, !torch.int) -> !torch.list<int>
  %dw = torch.aten.view %a, %size : !torch.vtensor<[3,2,5],f32>, !torch.list<int> -> !torch.vtensor<[3,10],f32>
  // CHECK: %[[V:.*]] = torch.aten.view %arg0, %{{.*}} : !torch.vtensor<[3,2,5],f32>, !torch.list<int> -> !torch.vtensor<[3,10],f32>
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[V]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 4>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,10],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4x2xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Equal sizes are not enough: what was the first dimension has been split.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[4,6],f32>) {
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %i4 = torch.constant.int 4
  %size = torch.prim.ListConstruct %i3, %i4, %i2 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %dw = torch.aten.view %a, %size : !torch.vtensor<[4,6],f32>, !torch.list<int> -> !torch.vtensor<[3,4,2],f32>
  // CHECK: %[[V:.*]] = torch.aten.view %arg0
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[V]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x1x4xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>} : () -> ()

// A new dimension moves the ones behind it,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>) {
  %m2 = torch.constant.int -2
  %dw = torch.aten.unsqueeze %a, %m2 : !torch.vtensor<[3,4],f32>, !torch.int -> !torch.vtensor<[3,1,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.unsqueeze %[[A]], %{{.*}} : !torch.vtensor<[3,2],f32>, !torch.int -> !torch.vtensor<[3,1,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,1,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// and so does one that is dropped,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,1,4],f32>) {
  %i1 = torch.constant.int 1
  %dw = torch.aten.squeeze.dim %a, %i1 : !torch.vtensor<[3,1,4],f32>, !torch.int -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.squeeze.dim %[[A]], %{{.*}} : !torch.vtensor<[3,1,2],f32>, !torch.int -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// which only one of size 1 is.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>) {
  %i0 = torch.constant.int 0
  %y = torch.aten.squeeze.dim %a, %i0 : !torch.vtensor<[3,4],f32>, !torch.int -> !torch.vtensor<[3,4],f32>
  %dw = torch.aten.neg %y : !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK: %[[W:.*]] = torch.aten.neg %{{.*}} : !torch.vtensor<[3,2],f32> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// Several dimensions may be dropped at once.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[1,3,1,4],f32>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %dims = torch.prim.ListConstruct %i0, %i2 : (!torch.int, !torch.int) -> !torch.list<int>
  %dw = torch.prims.squeeze %a, %dims : !torch.vtensor<[1,3,1,4],f32>, !torch.list<int> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 3 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.prims.squeeze %[[A]], %{{.*}} : !torch.vtensor<[1,3,1,2],f32>, !torch.list<int> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// A repeated dimension is repeated less often,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,1],f32>) {
  %i3 = torch.constant.int 3
  %i4 = torch.constant.int 4
  %size = torch.prim.ListConstruct %i3, %i4 : (!torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %dw = torch.aten.expand %a, %size, %no : !torch.vtensor<[3,1],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[3,4],f32>
  // CHECK-NOT: sparsebp.select_channels
  // CHECK: %[[N:.*]] = torch.constant.int 2
  // CHECK: %[[W:.*]] = torch.aten.expand %arg0, %{{.*}} : !torch.vtensor<[3,1],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x3x4xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>} : () -> ()

// another one is sliced; dimensions in front are new, and -1 stands for the size that there is.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[1,4],f32>) {
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %m1 = torch.constant.int -1
  %size = torch.prim.ListConstruct %i2, %i3, %m1 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %dw = torch.aten.expand %a, %size, %no : !torch.vtensor<[1,4],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d2", array<i64: 1, 3>>}
  // CHECK: %[[W:.*]] = torch.aten.expand %[[A]], %{{.*}} : !torch.vtensor<[1,2],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Sums are taken over other dimensions, which shifts the selected one
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,4,5],f32>) {
  %i0 = torch.constant.int 0
  %m1 = torch.constant.int -1
  %dims = torch.prim.ListConstruct %i0, %m1 : (!torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %dw = torch.aten.sum.dim_IntList %a, %dims, %no, %none : !torch.vtensor<[2,4,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[A]], %{{.*}} : !torch.vtensor<[2,2,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<1x4x1xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// unless they are kept. The sum of f16 values is one of f32.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,4,5],f16>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %i6 = torch.constant.int 6
  %dims = torch.prim.ListConstruct %i0, %i2 : (!torch.int, !torch.int) -> !torch.list<int>
  %yes = torch.constant.bool true
  %dw = torch.aten.sum.dim_IntList %a, %dims, %yes, %i6 : !torch.vtensor<[2,4,5],f16>, !torch.list<int>, !torch.bool, !torch.int -> !torch.vtensor<[1,4,1],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[A]], %{{.*}} : !torch.vtensor<[2,2,5],f16>, !torch.list<int>, !torch.bool, !torch.int -> !torch.vtensor<[1,2,1],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,4,1],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Means and extremes are like sums.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,4,5],f32>) {
  %m1 = torch.constant.int -1
  %i0 = torch.constant.int 0
  %first = torch.prim.ListConstruct %i0 : (!torch.int) -> !torch.list<int>
  %last = torch.prim.ListConstruct %m1 : (!torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %max = torch.aten.amax %a, %last, %no : !torch.vtensor<[2,4,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,4],f32>
  %dw = torch.aten.mean.dim %max, %first, %no, %none : !torch.vtensor<[2,4],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[M:.*]] = torch.aten.amax %[[A]], %{{.*}} : !torch.vtensor<[2,2,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,2],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.mean.dim %[[M]], %{{.*}} : !torch.vtensor<[2,2],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Element by element, operands that are broadcast along the dimension stay as they are, and so do numbers.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>, %row: !torch.vtensor<[4],f32>, %column: !torch.vtensor<[3,1],f32>, %scalar: !torch.vtensor<[],f32>) {
  %i2 = torch.constant.int 2
  %0 = torch.aten.sub.Tensor %a, %row, %i2 : !torch.vtensor<[3,4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[3,4],f32>
  %1 = torch.aten.mul.Tensor %column, %0 : !torch.vtensor<[3,1],f32>, !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>
  %dw = torch.aten.div.Tensor %1, %scalar : !torch.vtensor<[3,4],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[SUB:.*]] = torch.aten.sub.Tensor %[[A]], %[[B]], %int2 : !torch.vtensor<[3,2],f32>, !torch.vtensor<[2],f32>, !torch.int -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: %[[MUL:.*]] = torch.aten.mul.Tensor %arg2, %[[SUB]] : !torch.vtensor<[3,1],f32>, !torch.vtensor<[3,2],f32> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.div.Tensor %[[MUL]], %arg3 : !torch.vtensor<[3,2],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// A limit that is not given stays so.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>, %row: !torch.vtensor<[4],f32>) {
  %none = torch.constant.none
  %dw = torch.aten.clamp.Tensor %a, %none, %row : !torch.vtensor<[3,4],f32>, !torch.none, !torch.vtensor<[4],f32> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.clamp.Tensor %[[A]], %none, %[[B]] : !torch.vtensor<[3,2],f32>, !torch.none, !torch.vtensor<[2],f32> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Conditions and zeros are sliced like values, which is how the gradient of ReLU is.
// CHECK-LABEL: func.func @step
func.func @step(%c: !torch.vtensor<[3,4],i1>, %a: !torch.vtensor<[3,4],f32>, %zero: !torch.vtensor<[],f32>) {
  %dw = torch.aten.where.self %c, %zero, %a : !torch.vtensor<[3,4],i1>, !torch.vtensor<[],f32>, !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[C:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[A:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.where.self %[[C]], %arg2, %[[A]] : !torch.vtensor<[3,2],i1>, !torch.vtensor<[],f32>, !torch.vtensor<[3,2],f32> -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Conversions keep the type that they convert to.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f16>) {
  %i6 = torch.constant.int 6
  %dw = torch.prims.convert_element_type %a, %i6 : !torch.vtensor<[3,4],f16>, !torch.int -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.prims.convert_element_type %[[A]], %int6 : !torch.vtensor<[3,2],f16>, !torch.int -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x3xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// A slice along another dimension leaves the selection alone; channels of one along this are channels of the whole.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[5,9],f32>) {
  %m6 = torch.constant.int -6
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %i2 = torch.constant.int 2
  %i4 = torch.constant.int 4
  %i9 = torch.constant.int 9
  %rows = torch.aten.slice.Tensor %a, %i0, %i1, %i4, %i2 : !torch.vtensor<[5,9],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,9],f32>
  %dw = torch.aten.slice.Tensor %rows, %i1, %m6, %i9, %i2 : !torch.vtensor<[2,9],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,3],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"list", "d1", array<i64: 5, 7>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.slice.Tensor %[[A]], %int0, %int1, %int4, %int2 : !torch.vtensor<[5,2],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// An element of another dimension is one of the selection,
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,2,4],f32>) {
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %dw = torch.aten.select.int %a, %i1, %i0 : !torch.vtensor<[3,2,4],f32>, !torch.int, !torch.int -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.select.int %[[A]], %int1, %int0 : !torch.vtensor<[3,2,2],f32>, !torch.int, !torch.int -> !torch.vtensor<[3,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// and a slice that is replaced is replaced in the selection; along this dimension nothing moves.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>, %b: !torch.vtensor<[3,2],f32>, %c: !torch.vtensor<[1,4],f32>) {
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %inner = torch.aten.slice_scatter %a, %c, %i0, %i0, %i1, %i1 : !torch.vtensor<[3,4],f32>, !torch.vtensor<[1,4],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[3,4],f32>
  %dw = torch.aten.slice_scatter %inner, %b, %i1, %i1, %i3, %i1 : !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,2],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[IN:.*]] = torch.aten.slice_scatter %arg0, %arg2
  // CHECK-DAG: %[[A:.*]] = "sparsebp.select_channels"(%[[IN]]) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-DAG: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK: %[[W:.*]] = torch.aten.slice_scatter %[[A]], %[[B]], %int1, %int1, %int3, %int1 : !torch.vtensor<[2,4],f32>, !torch.vtensor<[2,2],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x9xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 3, 7>>} : () -> ()

// Of tensors that are joined along the dimension each gives its part, or none.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,2],f32>, %b: !torch.vtensor<[2,3],f32>, %c: !torch.vtensor<[2,4],f32>) {
  %i1 = torch.constant.int 1
  %l = torch.prim.ListConstruct %a, %b, %c : (!torch.vtensor<[2,2],f32>, !torch.vtensor<[2,3],f32>, !torch.vtensor<[2,4],f32>) -> !torch.list<vtensor>
  %dw = torch.aten.cat %l, %i1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,9],f32>
  // CHECK: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[C:.*]] = "sparsebp.select_channels"(%arg2) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[L:.*]] = torch.prim.ListConstruct %[[B]], %[[C]] : (!torch.vtensor<[2,2],f32>, !torch.vtensor<[2,2],f32>) -> !torch.list<vtensor>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.cat %[[L]], %int1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,9],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x9xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// A part that is taken whole needs no selection.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,2],f32>, %b: !torch.vtensor<[2,7],f32>) {
  %i1 = torch.constant.int 1
  %l = torch.prim.ListConstruct %a, %b : (!torch.vtensor<[2,2],f32>, !torch.vtensor<[2,7],f32>) -> !torch.list<vtensor>
  %dw = torch.aten.cat %l, %i1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,9],f32>
  // CHECK-NOT: sparsebp.select_channels
  // CHECK: "sparsebp.update"(%arg0)
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,9],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x9xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>} : () -> ()

// Along another dimension all are selected from.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,2],f32>, %b: !torch.vtensor<[2,7],f32>) {
  %i1 = torch.constant.int 1
  %l = torch.prim.ListConstruct %a, %b : (!torch.vtensor<[2,2],f32>, !torch.vtensor<[2,7],f32>) -> !torch.list<vtensor>
  %dw = torch.aten.cat %l, %i1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,9],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>}
  // CHECK-NEXT: %[[B:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>}
  // CHECK-NEXT: %[[L:.*]] = torch.prim.ListConstruct %[[A]], %[[B]]
  // CHECK-NEXT: %[[W:.*]] = torch.aten.cat %[[L]], %int1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[1,9],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,9],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x9xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>} : () -> ()

// Padding stands between a selection and a tensor only where it is.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[4,7],f32>) {
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %i2 = torch.constant.int 2
  %pads = torch.prim.ListConstruct %i1, %i1 : (!torch.int, !torch.int) -> !torch.list<int>
  %more = torch.prim.ListConstruct %i0, %i0, %i1, %i1 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %zero = torch.constant.float 0.0
  %rows = torch.aten.neg %a : !torch.vtensor<[4,7],f32> -> !torch.vtensor<[4,7],f32>
  %dw = torch.aten.constant_pad_nd %rows, %pads, %zero : !torch.vtensor<[4,7],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[4,9],f32>
  // CHECK: %[[A:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>}
  // CHECK-NEXT: %[[N:.*]] = torch.aten.neg %[[A]]
  // CHECK-NEXT: %[[W:.*]] = torch.aten.constant_pad_nd %[[N]], %{{.*}}, %{{.*}} : !torch.vtensor<[1,7],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,9],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,9],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x9xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>} : () -> ()

// Here it is.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,9],f32>) {
  %i0 = torch.constant.int 0
  %i1 = torch.constant.int 1
  %pads = torch.prim.ListConstruct %i0, %i0, %i1, %i1 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %zero = torch.constant.float 0.0
  %dw = torch.aten.constant_pad_nd %a, %pads, %zero : !torch.vtensor<[2,9],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[4,9],f32>
  // CHECK: %[[P:.*]] = torch.aten.constant_pad_nd %arg0
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[P]]) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 2>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,9],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x6x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Input channels of a convolution's weight come from its input,
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %x: !torch.vtensor<[2,6,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,6,3,3],f32>
  // CHECK: %[[X:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.conv_weight_grad"(%arg0, %[[X]]) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,2,8,8],f32>) -> !torch.vtensor<[4,2,3,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,6,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x6x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// output channels from the gradient of its output.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %x: !torch.vtensor<[2,6,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,6,3,3],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.conv_weight_grad"(%[[G]], %arg1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,2,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[2,6,3,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,6,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x6x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d2", array<i64: 0, 1>>} : () -> ()

// Positions of the kernel are not channels: the selection stays.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %x: !torch.vtensor<[2,6,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,6,3,3],f32>
  // CHECK: %[[D:.*]] = "sparsebp.conv_weight_grad"(%arg0, %arg1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,6,3,3],f32>
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[D]]) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d2", array<i64: 0, 1>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,6,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<6x1x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 4>>} : () -> ()

// Channels of a depthwise convolution are groups, and come from both.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,6,8,8],f32>, %x: !torch.vtensor<[2,6,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 6 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[6,1,3,3],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 4>>}
  // CHECK-NEXT: %[[X:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 4>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.conv_weight_grad"(%[[G]], %[[X]]) {dilation = array<i64: 1, 1>, groups = 3 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[3,1,3,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[6,1,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<8x1x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 2, 6>>} : () -> ()

// With two outputs a channel, outputs of whole groups come from the channels of those groups.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,8,8,8],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 4 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[8,1,3,3],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 2, 6>>}
  // CHECK-NEXT: %[[X:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.conv_weight_grad"(%[[G]], %[[X]]) {dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,2,8,8],f32>) -> !torch.vtensor<[4,1,3,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[8,1,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<8x1x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// A selection that cuts through groups stays.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,8,8,8],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 4 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[8,1,3,3],f32>
  // CHECK: %[[D:.*]] = "sparsebp.conv_weight_grad"(%arg0, %arg1) {dilation = array<i64: 1, 1>, groups = 4 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[8,1,3,3],f32>
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[D]]) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[8,1,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 1, 3>>} : () -> ()

// Input channels count within each group: the selection takes as many of each.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %x: !torch.vtensor<[2,6,8,8],f32>) {
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {groups = 2 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,6,8,8],f32>) -> !torch.vtensor<[4,3,3,3],f32>
  // CHECK: %[[X:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"list", "d1", array<i64: 1, 2, 4, 5>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.conv_weight_grad"(%arg0, %[[X]]) {dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 1, 1>, stride = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,2,3,3],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,3,3,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// The gradient of a convolution's input has the channels of its weight.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,6,8,8],f32>, %w: !torch.vtensor<[6,4,3,3],f32>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %dims = torch.prim.ListConstruct %i0, %i2, %i3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %dx = "sparsebp.conv_input_grad"(%g, %w) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  %dw = torch.aten.sum.dim_IntList %dx, %dims, %no, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[S:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[DX:.*]] = "sparsebp.conv_input_grad"(%arg0, %[[S]]) {{{.*}}groups = 1 : i64{{.*}}} : (!torch.vtensor<[2,6,8,8],f32>, !torch.vtensor<[6,2,3,3],f32>) -> !torch.vtensor<[2,2,8,8],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[DX]]
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Where it has groups, whole ones come from the output gradients and the weights of these groups.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %w: !torch.vtensor<[4,1,3,3],f32>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %dims = torch.prim.ListConstruct %i0, %i2, %i3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %dx = "sparsebp.conv_input_grad"(%g, %w) {groups = 4 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,1,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  %dw = torch.aten.sum.dim_IntList %dx, %dims, %no, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[S:.*]] = "sparsebp.select_channels"(%arg1) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[DX:.*]] = "sparsebp.conv_input_grad"(%[[G]], %[[S]]) {{{.*}}groups = 2 : i64{{.*}}} : (!torch.vtensor<[2,2,8,8],f32>, !torch.vtensor<[2,1,3,3],f32>) -> !torch.vtensor<[2,2,8,8],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[DX]]
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Pooling works channel by channel: the positions of the maxima are found for the selected ones only.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,4,4],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %dims = torch.prim.ListConstruct %i0, %i2, %i3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %argmax = "sparsebp.max_pool_argmax"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,4,4,4],si32>
  %dx = "sparsebp.max_pool_grad"(%g, %argmax) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,4,4],f32>, !torch.vtensor<[2,4,4,4],si32>) -> !torch.vtensor<[2,4,8,8],f32>
  %dw = torch.aten.sum.dim_IntList %dx, %dims, %no, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[X:.*]] = "sparsebp.select_channels"(%arg1) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[M:.*]] = "sparsebp.max_pool_argmax"(%[[X]])
  // CHECK-NEXT: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[DX:.*]] = "sparsebp.max_pool_grad"(%[[G]], %[[M]]) {{.*}} -> !torch.vtensor<[2,2,8,8],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[DX]]
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>} : () -> ()

// Averages need the gradient alone.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,4,4],f32>) {
  %i0 = torch.constant.int 0
  %i2 = torch.constant.int 2
  %i3 = torch.constant.int 3
  %dims = torch.prim.ListConstruct %i0, %i2, %i3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %no = torch.constant.bool false
  %none = torch.constant.none
  %dx = "sparsebp.avg_pool_grad"(%g) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[2,4,4,4],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  %dw = torch.aten.sum.dim_IntList %dx, %dims, %no, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 1, 3>>}
  // CHECK-NEXT: %[[DX:.*]] = "sparsebp.avg_pool_grad"(%[[G]]) {{.*}} -> !torch.vtensor<[2,2,8,8],f32>
  // CHECK-NEXT: %[[W:.*]] = torch.aten.sum.dim_IntList %[[DX]]
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<9x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 2, 5>>} : () -> ()

// A range of an embedding's rows is computed by itself,
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,3,4],f32>, %i: !torch.vtensor<[2,3],si64>) {
  %dw = "sparsebp.embedding_grad"(%g, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[9,4],f32>
  // CHECK: %[[W:.*]] = "sparsebp.embedding_grad"(%arg0, %arg1) {first_row = 2 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[3,4],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[9,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<9x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"list", "d0", array<i64: 2, 5>>} : () -> ()

// a list is selected from the gradient of the table.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,3,4],f32>, %i: !torch.vtensor<[2,3],si64>) {
  %dw = "sparsebp.embedding_grad"(%g, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[9,4],f32>
  // CHECK: %[[D:.*]] = "sparsebp.embedding_grad"(%arg0, %arg1) {first_row = 0 : i64
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[D]]) {axis = 0 : i64, mask = #sparsebp.mask<"list", "d0", array<i64: 2, 5>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[9,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<9x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Features come from the gradient of the output.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,3,4],f32>, %i: !torch.vtensor<[2,3],si64>) {
  %dw = "sparsebp.embedding_grad"(%g, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[9,4],f32>
  // CHECK: %[[G:.*]] = "sparsebp.select_channels"(%arg0) {axis = 2 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.embedding_grad"(%[[G]], %arg1) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,3,2],f32>, !torch.vtensor<[2,3],si64>) -> !torch.vtensor<[9,2],f32>
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[9,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>} : () -> ()

// Nothing is known of an operation that torch-mlir does not define, nor of one with several results: the selection stays.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[2,3,4],f32>) {
  %i0 = torch.constant.int 0
  %no = torch.constant.bool false
  %0 = torch.operator "torch.aten.special_bessel_j0"(%a) : (!torch.vtensor<[2,3,4],f32>) -> !torch.vtensor<[2,3,4],f32>
  %m, %e = torch.aten.max.dim %0, %i0, %no : !torch.vtensor<[2,3,4],f32>, !torch.int, !torch.bool -> !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,4],si64>
  %dw = torch.aten.neg %m : !torch.vtensor<[3,4],f32> -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[O:.*]] = torch.operator "torch.aten.special_bessel_j0"(%arg0)
  // CHECK-NEXT: %[[M:.*]], %{{.*}} = torch.aten.max.dim %[[O]]
  // CHECK-NEXT: %[[S:.*]] = "sparsebp.select_channels"(%[[M]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "d1", array<i64: 0, 2>>}
  // CHECK-NEXT: %[[W:.*]] = torch.aten.neg %[[S]]
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<5x4x3xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>} : () -> ()

// Arguments that are not known before run time stop it too.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4,5],f32>, %n: !torch.int) {
  %i0 = torch.constant.int 0
  %dw = torch.aten.transpose.int %a, %i0, %n : !torch.vtensor<[3,4,5],f32>, !torch.int, !torch.int -> !torch.vtensor<[5,4,3],f32>
  // CHECK: %[[T:.*]] = torch.aten.transpose.int %arg0, %int0, %arg1
  // CHECK-NEXT: %[[W:.*]] = "sparsebp.select_channels"(%[[T]]) {axis = 0 : i64, mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>}
  // CHECK-NEXT: "sparsebp.update"(%[[W]])
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[5,4,3],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<1x4xf32>, dimensions = ["d0", "d1"], role = "parameter",
  mask = #sparsebp.mask<"range", "d0", array<i64: 0, 1>>} : () -> ()

// A range of everything is no selection.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,4],f32>) {
  %i0 = torch.constant.int 0
  %dims = torch.prim.ListConstruct %i0 : (!torch.int) -> !torch.list<int>
  %yes = torch.constant.bool true
  %none = torch.constant.none
  %dw = torch.aten.sum.dim_IntList %a, %dims, %yes, %none : !torch.vtensor<[3,4],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[1,4],f32>
  // CHECK-NOT: sparsebp.select_channels
  // CHECK: %[[W:.*]] = torch.aten.sum.dim_IntList %arg0
  // CHECK-NEXT: "sparsebp.update"(%[[W]]) {mask = #sparsebp.mask<"range", "d0", array<i64: 0, 1>>, symbol = @w}
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,4],f32>) -> ()
  return
}
