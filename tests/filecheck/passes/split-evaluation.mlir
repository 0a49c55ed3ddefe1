// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-evaluation)' | filecheck %s

// The loss is made of the output and the target: it becomes a function of these, and @evaluate is gone.
// CHECK-LABEL: func.func @predict
// CHECK-NOT: @evaluate
// CHECK: func.func @loss(%[[Y:.*]]: !torch.vtensor<[4,3],f32>, %[[T:.*]]: !torch.vtensor<[4,3],f32>) -> !torch.vtensor<[],f32>
// CHECK-NOT: torch.aten.mm
// CHECK: %[[D:.*]] = torch.aten.sub.Tensor %[[Y]], %[[T]]
// CHECK: %[[L:.*]] = torch.aten.sum %[[D]]
// CHECK: return %[[L]] : !torch.vtensor<[],f32>
// CHECK-NOT: @evaluate
func.func @predict(%x: !torch.vtensor<[4,8],f32>) -> !torch.vtensor<[4,3],f32> {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[8,3],f32>
  %y = torch.aten.mm %x, %w : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,3],f32> -> !torch.vtensor<[4,3],f32>
  return %y : !torch.vtensor<[4,3],f32>
}
func.func @evaluate(%x: !torch.vtensor<[4,8],f32>, %t: !torch.vtensor<[4,3],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[4,3],f32>) {
  %one = torch.constant.int 1
  %none = torch.constant.none
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[8,3],f32>
  %y = torch.aten.mm %x, %w : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,3],f32> -> !torch.vtensor<[4,3],f32>
  %d = torch.aten.sub.Tensor %y, %t, %one : !torch.vtensor<[4,3],f32>, !torch.vtensor<[4,3],f32>, !torch.int -> !torch.vtensor<[4,3],f32>
  %loss = torch.aten.sum %d, %none : !torch.vtensor<[4,3],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss, %y : !torch.vtensor<[],f32>, !torch.vtensor<[4,3],f32>
}
"sparsebp.parameter"() {sym_name = "w", type = tensor<8x3xf32>, role = "parameter", dimensions = ["input_features", "output_features"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// -----

// Several outputs, of which the loss uses the second, and a target that it does not use.
// CHECK-LABEL: func.func @predict
// CHECK: func.func @loss(%{{.*}}: !torch.vtensor<[4],f32>, %[[B:.*]]: !torch.vtensor<[4],f32>, %{{.*}}: !torch.vtensor<[2],f32>) -> !torch.vtensor<[],f32>
// CHECK: %[[L:.*]] = torch.aten.sum %[[B]]
// CHECK: return %[[L]]
func.func @predict(%x: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %b = torch.aten.exp %a : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  return %a, %b : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}
func.func @evaluate(%x: !torch.vtensor<[4],f32>, %t: !torch.vtensor<[2],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %none = torch.constant.none
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %b = torch.aten.exp %a : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %loss = torch.aten.sum %b, %none : !torch.vtensor<[4],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss, %a, %b : !torch.vtensor<[],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}

// -----

// A penalty on weights is no function of outputs: nothing changes.
// CHECK-LABEL: func.func @predict
// CHECK: func.func @evaluate
// CHECK-NOT: @loss
func.func @predict(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  return %a : !torch.vtensor<[4],f32>
}
func.func @evaluate(%x: !torch.vtensor<[4],f32>, %t: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[4],f32>) {
  %none = torch.constant.none
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %p = torch.aten.mul.Tensor %a, %w : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %loss = torch.aten.sum %p, %none : !torch.vtensor<[4],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss, %a : !torch.vtensor<[],f32>, !torch.vtensor<[4],f32>
}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, role = "parameter", dimensions = ["channels"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// -----

// Nor is what is made of the inputs, or what @predict does not return.
// CHECK-LABEL: func.func @predict
// CHECK: func.func @evaluate
// CHECK-NOT: @loss
func.func @predict(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  return %a : !torch.vtensor<[4],f32>
}
func.func @evaluate(%x: !torch.vtensor<[4],f32>, %t: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[4],f32>) {
  %none = torch.constant.none
  %a = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %p = torch.aten.mul.Tensor %a, %x : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %loss = torch.aten.sum %p, %none : !torch.vtensor<[4],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss, %a : !torch.vtensor<[],f32>, !torch.vtensor<[4],f32>
}
