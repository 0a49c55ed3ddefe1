// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-materialize-state)' | filecheck %s

"sparsebp.parameter"() {sym_name = "frozen", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "unused", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "count", type = tensor<i64>, dimensions = [], role = "buffer", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w#momentum", type = tensor<4xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()
"sparsebp.state"() {sym_name = "#step", type = tensor<i64>, role = "step", initial = 7 : i64} : () -> ()
"sparsebp.state"() {sym_name = "#seed", type = tensor<i64>, role = "seed", initial = 0 : i64} : () -> ()

// No declaration is left. What a function loads is an immutable global that the archive initialises under its name; of
// what no function does, there is none.
// CHECK-NOT: sparsebp.
// CHECK: "util.global"() {initial_value = #flow.parameter.named<"model"::"frozen"> : tensor<4xf32>, sym_name = "frozen", sym_visibility = "private", type = tensor<4xf32>}
// CHECK-NEXT: "util.global"() {initial_value = #flow.parameter.named<"model"::"w"> : tensor<4xf32>, sym_name = "w"
// CHECK-NEXT: "util.global"() {initial_value = #flow.parameter.named<"model"::"count"> : tensor<i64>, sym_name = "count"
// CHECK-NOT: util.global"

// @init returns the state in its order. An element of each value goes through a barrier: equal values, like the two
// zeros, would share storage otherwise.
// CHECK-LABEL: func.func @init() -> (tensor<4xf32>, tensor<i64>, tensor<4xf32>, tensor<i64>, tensor<i64>)
// CHECK: %[[W:.*]] = "util.global.load"() {global = @w} : () -> tensor<4xf32>
// CHECK: %[[W0:.*]] = tensor.extract_slice %[[W]][0] [1] [1]
// CHECK: %[[COUNT:.*]] = "util.global.load"() {global = @count} : () -> tensor<i64>
// CHECK: %[[COUNT0:.*]] = tensor.extract %[[COUNT]][] : tensor<i64>
// CHECK: %[[MOMENTUM:.*]] = arith.constant 0.000000e+00 : f32
// CHECK: %[[STEP:.*]] = arith.constant 7 : i64
// CHECK: %[[SEED:.*]] = arith.constant 0 : i64
// CHECK-DAG: %[[B0:.*]] = "util.optimization_barrier"(%[[W0]]) : (tensor<1xf32>) -> tensor<1xf32>
// CHECK-DAG: %[[B1:.*]] = "util.optimization_barrier"(%[[COUNT0]]) : (i64) -> i64
// CHECK-DAG: %[[B2:.*]] = "util.optimization_barrier"(%[[MOMENTUM]]) : (f32) -> f32
// CHECK-DAG: %[[B3:.*]] = "util.optimization_barrier"(%[[STEP]]) : (i64) -> i64
// CHECK-DAG: %[[B4:.*]] = "util.optimization_barrier"(%[[SEED]]) : (i64) -> i64
// CHECK: %[[R0:.*]] = tensor.insert_slice %[[B0]] into %[[W]][0] [1] [1]
// CHECK: %[[R1:.*]] = linalg.fill ins(%[[B1]] : i64)
// CHECK: %[[R2:.*]] = linalg.fill ins(%[[B2]] : f32) outs(%{{.*}} : tensor<4xf32>)
// CHECK: %[[R3:.*]] = linalg.fill ins(%[[B3]] : i64)
// CHECK: %[[R4:.*]] = linalg.fill ins(%[[B4]] : i64)
// CHECK: return %[[R0]], %[[R1]], %[[R2]], %[[R3]], %[[R4]]

// The step takes the state behind its own arguments and returns it behind its own results, each in the storage of its
// argument. The seed is the caller's: it comes back as it went in, though nothing assigns it.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%arg0: !torch.vtensor<[4],f32>, %arg1: !torch.vtensor<[4],f32> {iree.abi.output = 1 : index}, %arg2: !torch.vtensor<[],si64> {iree.abi.output = 2 : index}, %arg3: !torch.vtensor<[4],f32> {iree.abi.output = 3 : index}, %arg4: !torch.vtensor<[],si64> {iree.abi.output = 4 : index}, %arg5: !torch.vtensor<[],si64> {iree.abi.output = 5 : index})
// CHECK-SAME: -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[],si64>, !torch.vtensor<[4],f32>, !torch.vtensor<[],si64>, !torch.vtensor<[],si64>)
func.func @step(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %int1 = torch.constant.int 1
  // CHECK: %[[LOADED:.*]] = "util.global.load"() {global = @frozen} : () -> tensor<4xf32>
  // CHECK-NEXT: %[[F:.*]] = torch_c.from_builtin_tensor %[[LOADED]] : tensor<4xf32> -> !torch.vtensor<[4],f32>
  %f = "sparsebp.read"() {symbol = @frozen} : () -> !torch.vtensor<[4],f32>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  %m = "sparsebp.read"() {symbol = @"w#momentum"} : () -> !torch.vtensor<[4],f32>
  %c = "sparsebp.read"() {symbol = @count} : () -> !torch.vtensor<[],si64>
  %s = "sparsebp.read"() {symbol = @"#step"} : () -> !torch.vtensor<[],si64>
  %d = "sparsebp.read"() {symbol = @"#seed"} : () -> !torch.vtensor<[],si64>
  // CHECK-NEXT: %[[Y:.*]] = torch.aten.mul.Tensor %arg0, %[[F]]
  %y = torch.aten.mul.Tensor %x, %f : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: %[[M:.*]] = torch.aten.add.Tensor %arg3, %[[Y]]
  %m1 = torch.aten.add.Tensor %m, %y, %int1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: %[[NEW:.*]] = torch.aten.sub.Tensor %arg1, %[[M]]
  %w1 = torch.aten.sub.Tensor %w, %m1, %int1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: %[[C:.*]] = torch.aten.add.Tensor %arg2, %arg5
  %c1 = torch.aten.add.Tensor %c, %d, %int1 : !torch.vtensor<[],si64>, !torch.vtensor<[],si64>, !torch.int -> !torch.vtensor<[],si64>
  // CHECK-NEXT: %[[S:.*]] = torch.aten.add.Scalar %arg4
  %s1 = torch.aten.add.Scalar %s, %int1, %int1 : !torch.vtensor<[],si64>, !torch.int, !torch.int -> !torch.vtensor<[],si64>
  "sparsebp.assign"(%m1) {symbol = @"w#momentum", mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  "sparsebp.assign"(%w1) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  "sparsebp.assign"(%c1) {symbol = @count, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[],si64>) -> ()
  "sparsebp.assign"(%s1) {symbol = @"#step", mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[],si64>) -> ()
  // CHECK-NEXT: return %[[Y]], %[[NEW]], %[[C]], %[[M]], %[[S]], %arg5
  return %y : !torch.vtensor<[4],f32>
}

// Prediction takes parameters and buffers of the state, in the same order, and changes nothing. What it draws at random
// is drawn from where training begins.
// CHECK-LABEL: func.func @predict
// CHECK-SAME: (%arg0: !torch.vtensor<[4],f32>, %arg1: !torch.vtensor<[4],f32>, %arg2: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[],si64>)
func.func @predict(%x: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[],si64>) {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  %c = "sparsebp.read"() {symbol = @count} : () -> !torch.vtensor<[],si64>
  // CHECK: %[[INITIAL:.*]] = arith.constant dense<7> : tensor<i64>
  // CHECK: %[[STEP:.*]] = torch_c.from_builtin_tensor %[[INITIAL]]
  %s = "sparsebp.read"() {symbol = @"#step"} : () -> !torch.vtensor<[],si64>
  // CHECK: %[[Y:.*]] = torch.aten.mul.Tensor %arg0, %arg1
  %y = torch.aten.mul.Tensor %x, %w : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %z = torch.aten.mul.Tensor %c, %s : !torch.vtensor<[],si64>, !torch.vtensor<[],si64> -> !torch.vtensor<[],si64>
  "sparsebp.assign"(%z) {symbol = @count, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[],si64>) -> ()
  // CHECK: return %[[Y]], %{{.*}} : !torch.vtensor<[4],f32>, !torch.vtensor<[],si64>
  return %y, %z : !torch.vtensor<[4],f32>, !torch.vtensor<[],si64>
}

// -----

"sparsebp.parameter"() {sym_name = "r", type = tensor<3x6xf32>, dimensions = ["out", "in"], role = "parameter", mask = #sparsebp.mask<"range", "in", array<i64: 2, 4>>} : () -> ()
"sparsebp.parameter"() {sym_name = "l", type = tensor<5x2xf32>, dimensions = ["out", "in"], role = "parameter", mask = #sparsebp.mask<"list", "out", array<i64: 1, 4>>} : () -> ()

// A range that is assigned is put into the old value; a list is too, by a choice between the old and the new for each
// channel and no scatter. A read behind it gives the new value.
// CHECK-LABEL: func.func @step
func.func @step(%a: !torch.vtensor<[3,2],f32>, %b: !torch.vtensor<[2,2],f32>) -> !torch.vtensor<[5,2],f32> {
  // CHECK-DAG: %[[AXIS:.*]] = torch.constant.int 1
  // CHECK-DAG: %[[BEGIN:.*]] = torch.constant.int 2
  // CHECK-DAG: %[[END:.*]] = torch.constant.int 4
  // CHECK: %[[R:.*]] = torch.aten.slice_scatter %arg2, %arg0, %[[AXIS]], %[[BEGIN]], %[[END]], %[[AXIS]] : {{.*}} -> !torch.vtensor<[3,6],f32>
  "sparsebp.assign"(%a) {symbol = @r, mask = #sparsebp.mask<"range", "in", array<i64: 2, 4>>} : (!torch.vtensor<[3,2],f32>) -> ()
  // CHECK: %[[CHOSEN:.*]] = torch.vtensor.literal(dense<[false, true, false, false, true]> : tensor<5xi1>)
  // CHECK: %[[WHERE:.*]] = torch.aten.view %[[CHOSEN]], %{{.*}} -> !torch.vtensor<[5,1],i1>
  // CHECK: %[[FROM:.*]] = torch.vtensor.literal(dense<[0, 0, 0, 0, 1]> : tensor<5xsi64>)
  // CHECK: %[[WIDE:.*]] = torch.aten.index_select %arg1, %{{.*}}, %[[FROM]]
  // CHECK: %[[L:.*]] = torch.aten.where.self %[[WHERE]], %[[WIDE]], %arg3
  "sparsebp.assign"(%b) {symbol = @l, mask = #sparsebp.mask<"list", "out", array<i64: 1, 4>>} : (!torch.vtensor<[2,2],f32>) -> ()
  %l = "sparsebp.read"() {symbol = @l} : () -> !torch.vtensor<[5,2],f32>
  // CHECK: return %[[L]], %[[R]], %[[L]]
  return %l : !torch.vtensor<[5,2],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "layers.0.\22quoted\22 \\ \C3\BC.weight", type = tensor<2xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "bytes", type = tensor<2xi8>, dimensions = ["c"], role = "buffer", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Names are whatever PyTorch allows; those in archives are safe in JSON. Signs, which builtin integers do not have, are those that readers see; attributes
// of arguments and results stay with them.
// CHECK: "util.global"() {initial_value = #flow.parameter.named<"model"::"layers.0.%22quoted%22 %5C \C3\BC.weight"> : tensor<2xf32>, sym_name = "layers.0.\22quoted\22 \\ \C3\BC.weight"
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%arg0: !torch.vtensor<[2],ui8> {a.b}, %arg1: !torch.vtensor<[2],ui8> {iree.abi.output = 1 : index}) -> (!torch.vtensor<[2],f32> {c.d}, !torch.vtensor<[2],ui8>)
// CHECK: "util.global.load"() {global = @"layers.0.\22quoted\22 \\ \C3\BC.weight"}
// CHECK: %[[OR:.*]] = torch.aten.bitwise_or.Tensor %arg0, %arg1
// CHECK: return %{{.*}}, %[[OR]]
func.func @step(%x: !torch.vtensor<[2],ui8> {a.b}) -> (!torch.vtensor<[2],f32> {c.d}) {
  %w = "sparsebp.read"() {symbol = @"layers.0.\22quoted\22 \\ \C3\BC.weight"} : () -> !torch.vtensor<[2],f32>
  %b = "sparsebp.read"() {symbol = @bytes} : () -> !torch.vtensor<[2],ui8>
  %n = torch.aten.bitwise_or.Tensor %x, %b : !torch.vtensor<[2],ui8>, !torch.vtensor<[2],ui8> -> !torch.vtensor<[2],ui8>
  "sparsebp.assign"(%n) {symbol = @bytes, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2],ui8>) -> ()
  return %w : !torch.vtensor<[2],f32>
}

// -----

// A program without state has an @init that returns nothing.
// CHECK-LABEL: func.func @init() {
// CHECK-NEXT: return
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%arg0: !torch.vtensor<[2],f32>) -> !torch.vtensor<[2],f32>
func.func @step(%x: !torch.vtensor<[2],f32>) -> !torch.vtensor<[2],f32> {
  return %x : !torch.vtensor<[2],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "mask", type = tensor<4xi1>, dimensions = ["c"], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// Truth values are bytes in the archive.
// CHECK: "util.global"() {initial_value = #flow.parameter.named<"model"::"mask"> : tensor<4xi8>, sym_name = "mask", sym_visibility = "private", type = tensor<4xi8>}
// CHECK-LABEL: func.func @step
// CHECK: %[[BYTES:.*]] = "util.global.load"() {global = @mask} : () -> tensor<4xi8>
// CHECK: %[[BITS:.*]] = linalg.generic {{.*}} ins(%[[BYTES]] : tensor<4xi8>)
// CHECK: arith.trunci %{{.*}} : i8 to i1
// CHECK: %[[MASK:.*]] = torch_c.from_builtin_tensor %[[BITS]] : tensor<4xi1> -> !torch.vtensor<[4],i1>
// CHECK: torch.aten.where.self %[[MASK]]
func.func @step(%x: !torch.vtensor<[4],f32>, %y: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %m = "sparsebp.read"() {symbol = @mask} : () -> !torch.vtensor<[4],i1>
  %z = torch.aten.where.self %m, %x, %y : !torch.vtensor<[4],i1>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  return %z : !torch.vtensor<[4],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["d"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w#momentum", type = tensor<4xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// Of a divided step, gradients take of the state what they read, and storage for each summand.
// CHECK-LABEL: func.func @gradients(
// CHECK-SAME: %arg0: !torch.vtensor<[4],f32>, %arg1: !torch.vtensor<[4],f32>, %arg2: !torch.vtensor<[4],f32> {iree.abi.output = 1 : index})
// CHECK-SAME: -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>)
func.func @gradients(%x: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>)
    attributes {sparsebp.shards = {count = 2 : i64, divided = array<i1: true>, partials = 1 : i64, whole = array<i64>}} {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  // CHECK: %[[Y:.*]] = torch.aten.mul.Tensor %arg0, %arg1
  %y = torch.aten.mul.Tensor %x, %w : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK: %[[G:.*]] = torch.aten.neg
  %g = torch.aten.neg %y : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK: return %[[Y]], %[[G]]
  return %y, %g : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}

// The update takes all of the state, in place.
// CHECK-LABEL: func.func @update(
// CHECK-SAME: %arg0: !torch.vtensor<[4],f32>, %arg1: !torch.vtensor<[4],f32>, %arg2: !torch.vtensor<[4],f32> {iree.abi.output = 1 : index}, %arg3: !torch.vtensor<[4],f32> {iree.abi.output = 2 : index})
func.func @update(%g0: !torch.vtensor<[4],f32>, %g1: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %int1 = torch.constant.int 1
  %g = torch.aten.add.Tensor %g0, %g1, %int1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  %m = "sparsebp.read"() {symbol = @"w#momentum"} : () -> !torch.vtensor<[4],f32>
  // CHECK: %[[M:.*]] = torch.aten.add.Tensor %arg3, %{{.*}}
  %m1 = torch.aten.add.Tensor %m, %g, %int1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  // CHECK: %[[W:.*]] = torch.aten.sub.Tensor %arg2, %[[M]]
  %w1 = torch.aten.sub.Tensor %w, %m1, %int1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  "sparsebp.assign"(%m1) {symbol = @"w#momentum", mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  "sparsebp.assign"(%w1) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  // CHECK: return %{{.*}}, %[[W]], %[[M]]
  return %g : !torch.vtensor<[4],f32>
}
