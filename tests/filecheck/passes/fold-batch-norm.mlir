// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fold-batch-norm)' | filecheck %s

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// Frozen, all of the norm goes into weight and bias: w * scale and -mean * scale + shift.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[W:.*]] = "sparsebp.read"() {symbol = @w}
  // CHECK: %[[MEAN:.*]] = "sparsebp.read"() {symbol = @mean}
  // CHECK: %[[SCALE:.*]] = "sparsebp.read"() {symbol = @scale}
  // CHECK: %[[SHIFT:.*]] = "sparsebp.read"() {symbol = @shift}
  // CHECK: %[[M1:.*]] = torch.aten.view %[[MEAN]], %{{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[NEG:.*]] = torch.aten.neg %[[M1]]
  // CHECK: %[[S1:.*]] = torch.aten.view %[[SCALE]], %{{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[S4:.*]] = torch.aten.view %[[S1]], %{{.*}} -> !torch.vtensor<[4,1,1,1],f32>
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor %[[W]], %[[S4]]
  // CHECK: %[[B0:.*]] = torch.aten.mul.Tensor %[[NEG]], %[[S1]]
  // CHECK: %[[B1:.*]] = torch.aten.view %[[SHIFT]], %{{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[B:.*]] = torch.aten.add.Tensor %[[B0]], %[[B1]], %int1
  // CHECK: %[[Y:.*]] = torch.aten.convolution %arg0, %[[WS]], %[[B]],
  // CHECK-NEXT: return %[[Y]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %c, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %y = torch.aten.add.Tensor %n, %shift, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %y : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// With the shift trained, that alone stays.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %g: !torch.vtensor<[1,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[SHIFT:.*]] = "sparsebp.read"() {symbol = @shift}
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor
  // CHECK: %[[B:.*]] = torch.aten.mul.Tensor
  // CHECK: %[[N:.*]] = torch.aten.convolution %arg0, %[[WS]], %[[B]],
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.add.Tensor %[[N]], %[[SHIFT]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %c, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %y = torch.aten.add.Tensor %n, %shift, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  "sparsebp.update"(%g) {symbol = @shift, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,4,1,1],f32>) -> ()
  // CHECK: return %[[Y]]
  return %y : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// With the scale trained, only the mean is folded.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %g: !torch.vtensor<[1,4,1,1],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[W:.*]] = "sparsebp.read"() {symbol = @w}
  // CHECK: %[[SCALE:.*]] = "sparsebp.read"() {symbol = @scale}
  // CHECK: %[[B:.*]] = torch.aten.neg
  // CHECK: %[[C:.*]] = torch.aten.convolution %arg0, %[[W]], %[[B]],
  // CHECK-NEXT: %[[N:.*]] = torch.aten.mul.Tensor %[[C]], %[[SCALE]]
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.add.Tensor %[[N]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %c, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %y = torch.aten.add.Tensor %n, %shift, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  "sparsebp.update"(%g) {symbol = @scale, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,4,1,1],f32>) -> ()
  // CHECK: return %[[Y]]
  return %y : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// With the weight trained, if only in part, or the statistics still changing, nothing is.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %g: !torch.vtensor<[2,3,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[Z:.*]] = torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.sub.Tensor %[[Z]]
  // CHECK-NEXT: torch.aten.mul.Tensor
  // CHECK-NEXT: torch.aten.add.Tensor
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %c, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %y = torch.aten.add.Tensor %n, %shift, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"range", "d0", array<i64: 0, 2>>} : (!torch.vtensor<[2,3,3,3],f32>) -> ()
  return %y : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// The mean is one that the step assigns: prediction reads what training has left.
// CHECK-LABEL: func.func @step
func.func @step(%m: !torch.vtensor<[1,4,1,1],f32>) {
  "sparsebp.assign"(%m) {symbol = @mean, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,4,1,1],f32>) -> ()
  return
}

// CHECK-LABEL: func.func @predict
func.func @predict(%x: !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[Z:.*]] = torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.sub.Tensor %[[Z]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %c : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// A result with another user is needed as it is.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[Z:.*]] = torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: %[[C:.*]] = torch.aten.sub.Tensor %[[Z]]
  // CHECK-NEXT: return %[[Z]], %[[C]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %z, %c : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<4xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// Factors and summands may stand on either side, and the bias that there is takes part. A division stays, and so does
// a difference the other way round.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %b = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[4],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[W:.*]] = "sparsebp.read"() {symbol = @w}
  // CHECK: %[[BIAS:.*]] = "sparsebp.read"() {symbol = @b}
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor %[[W]]
  // CHECK: %[[B0:.*]] = torch.aten.mul.Tensor %[[BIAS]]
  // CHECK: %[[B:.*]] = torch.aten.add.Tensor %[[B0]]
  // CHECK: %[[Y:.*]] = torch.aten.convolution %arg0, %[[WS]], %[[B]],
  // CHECK-NEXT: %[[D:.*]] = torch.aten.sub.Tensor %{{.*}}, %[[Y]]
  // CHECK-NEXT: return %[[D]]
  %z = torch.aten.convolution %x, %w, %b, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.vtensor<[4],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %scale, %z : !torch.vtensor<[1,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %y = torch.aten.add.Tensor %shift, %n, %int1 : !torch.vtensor<[1,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %d = torch.aten.sub.Tensor %shift, %y, %int1 : !torch.vtensor<[1,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %d : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// A summand that is multiplied first stays.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %int2 = torch.constant.int 2
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.sub.Tensor
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int2 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %c : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "s", type = tensor<1x1x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "v", type = tensor<1x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// So does one that is the same for all channels, or that makes channels of one.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %s = "sparsebp.read"() {symbol = @s} : () -> !torch.vtensor<[1,1,1,1],f32>
  %v = "sparsebp.read"() {symbol = @v} : () -> !torch.vtensor<[1,3,3,3],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[Z:.*]] = torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.add.Tensor %[[Z]]
  // CHECK-NEXT: %[[V:.*]] = torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.add.Tensor %[[V]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.add.Tensor %z, %s, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,1,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %u = torch.aten.convolution %x, %v, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[1,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,1,8,8],f32>
  %d = torch.aten.add.Tensor %u, %shift, %int1 : !torch.vtensor<[2,1,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %c, %d : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xbf16>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// So does one of a wider type: the result would not be a convolution's.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],bf16>) -> !torch.vtensor<[2,4,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],bf16>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: torch.aten.convolution %arg0, %{{.*}}, %none
  // CHECK-NEXT: torch.aten.sub.Tensor
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],bf16>, !torch.vtensor<[4,3,3,3],bf16>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],bf16>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],bf16>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  return %c : !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "v", type = tensor<3x4x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// In front of a convolution that pads, a shift stays: what it pads with is zero.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,3,8,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,4,1,1],f32>
  %w = "sparsebp.read"() {symbol = @v} : () -> !torch.vtensor<[3,4,3,3],f32>
  // CHECK: %[[S:.*]] = torch.aten.add.Tensor %arg0
  // CHECK-NEXT: torch.aten.convolution %[[S]], %{{.*}}, %none
  %s = torch.aten.add.Tensor %x, %shift, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %z = torch.aten.convolution %s, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[3,4,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,3,8,8],f32>
  return %z : !torch.vtensor<[2,3,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x1x3xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1xf32>, dimensions = ["d0", "d1", "d2"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// A depthwise convolution in one dimension,
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,4,8],f32>) -> !torch.vtensor<[2,4,8],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1 : (!torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0 : (!torch.int) -> !torch.list<int>
  %int4 = torch.constant.int 4
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,1,3],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1],f32>
  // CHECK: %[[S:.*]] = torch.aten.view %{{.*}}, %{{.*}} -> !torch.vtensor<[4,1,1],f32>
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor %{{.*}}, %[[S]] : !torch.vtensor<[4,1,3],f32>, !torch.vtensor<[4,1,1],f32> -> !torch.vtensor<[4,1,3],f32>
  // CHECK: %[[Y:.*]] = torch.aten.convolution %arg0, %[[WS]], %none,
  // CHECK-NEXT: return %[[Y]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int4 : !torch.vtensor<[2,4,8],f32>, !torch.vtensor<[4,1,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8],f32>
  %n = torch.aten.mul.Tensor %z, %scale : !torch.vtensor<[2,4,8],f32>, !torch.vtensor<[1,4,1],f32> -> !torch.vtensor<[2,4,8],f32>
  return %n : !torch.vtensor<[2,4,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x1x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3", "d4"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3", "d4"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// and an ordinary one in three.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,4,4,4],f32>) -> !torch.vtensor<[2,4,6,6,6],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1, %int1 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0, %int0 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,1,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1,1],f32>
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor %{{.*}}, %{{.*}} : !torch.vtensor<[4,3,1,1,1],f32>, !torch.vtensor<[4,1,1,1,1],f32> -> !torch.vtensor<[4,3,1,1,1],f32>
  // CHECK: %[[Y:.*]] = torch.aten.convolution %arg0, %[[WS]], %none,
  // CHECK-NEXT: return %[[Y]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,4,4,4],f32>, !torch.vtensor<[4,3,1,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,6,6,6],f32>
  %n = torch.aten.mul.Tensor %z, %scale : !torch.vtensor<[2,4,6,6,6],f32>, !torch.vtensor<[1,4,1,1,1],f32> -> !torch.vtensor<[2,4,6,6,6],f32>
  return %n : !torch.vtensor<[2,4,6,6,6],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// A transposed convolution, whose weight has the output channels second, is left alone.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>) -> (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %true = torch.constant.bool true
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[3,4,3,3],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[Z:.*]] = torch.aten.convolution %arg0
  // CHECK-NEXT: torch.aten.mul.Tensor %[[Z]]
  // CHECK-NEXT: %[[U:.*]] = "sparsebp.conv_input_grad"(%arg0
  // CHECK-NEXT: torch.aten.mul.Tensor %[[U]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %true, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[3,4,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %z, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %u = "sparsebp.conv_input_grad"(%x, %w) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[3,4,3,3],f32>) -> !torch.vtensor<[2,4,8,8],f32>
  %m = torch.aten.mul.Tensor %u, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  return %n, %m : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// In the backward pass the scale goes into the same weight as in the forward pass, from either side.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %g: !torch.vtensor<[2,4,8,8],f32>) -> (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor
  // CHECK: %[[Y:.*]] = torch.aten.convolution %arg0, %[[WS]], %none,
  // CHECK-NEXT: %[[DX:.*]] = "sparsebp.conv_input_grad"(%arg1, %[[WS]])
  // CHECK-NEXT: return %[[Y]], %[[DX]], %[[DX]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %n = torch.aten.mul.Tensor %z, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %gs = torch.aten.mul.Tensor %g, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %dx = "sparsebp.conv_input_grad"(%gs, %w) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>) -> !torch.vtensor<[2,3,8,8],f32>
  %gt = torch.aten.mul.Tensor %scale, %g : !torch.vtensor<[1,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %dx2 = "sparsebp.conv_input_grad"(%gt, %w) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>) -> !torch.vtensor<[2,3,8,8],f32>
  return %n, %dx, %dx2 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "v", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3x3x3xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x4x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// A gradient that something else needs too is scaled once for both, and one for a trained weight stays scaled.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,4,8,8],f32>, %h: !torch.vtensor<[4,3,3,3],f32>) -> (!torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,3,3,3],f32>
  %v = "sparsebp.read"() {symbol = @v} : () -> !torch.vtensor<[4,3,3,3],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,4,1,1],f32>
  // CHECK: %[[V:.*]] = "sparsebp.read"() {symbol = @v}
  // CHECK: %[[G:.*]] = torch.aten.mul.Tensor %arg0
  // CHECK-NEXT: "sparsebp.conv_input_grad"(%[[G]], %[[V]])
  // CHECK-NEXT: %[[H:.*]] = torch.aten.mul.Tensor %[[G]]
  // CHECK-NEXT: "sparsebp.conv_input_grad"(%[[H]]
  %gs = torch.aten.mul.Tensor %g, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %dx = "sparsebp.conv_input_grad"(%gs, %v) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>) -> !torch.vtensor<[2,3,8,8],f32>
  %hs = torch.aten.mul.Tensor %gs, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %dy = "sparsebp.conv_input_grad"(%hs, %w) {groups = 1 : i64, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,3,3,3],f32>) -> !torch.vtensor<[2,3,8,8],f32>
  "sparsebp.update"(%h) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,3,3,3],f32>) -> ()
  return %dx, %gs, %dy : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>
}
