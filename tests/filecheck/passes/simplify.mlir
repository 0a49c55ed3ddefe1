// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-simplify)' | filecheck %s

// What is computed twice is computed once, and what follows from it too; what nothing needs goes.
// CHECK-LABEL: func.func @merged
func.func @merged(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  // CHECK-NEXT: %[[E:.*]] = torch.aten.exp %arg0
  %0 = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %1 = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: %[[S:.*]] = torch.aten.sigmoid %[[E]]
  %2 = torch.aten.sigmoid %0 : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %3 = torch.aten.sigmoid %1 : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: %[[P:.*]] = torch.aten.mul.Tensor %[[S]], %[[S]]
  %4 = torch.aten.mul.Tensor %2, %3 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %5 = torch.aten.neg %4 : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %6 = torch.aten.neg %5 : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: return %[[P]]
  return %4 : !torch.vtensor<[4],f32>
}

// Operations of the dialect that only compute are no different, and lists are equal if their elements are.
// CHECK-LABEL: func.func @dialect
func.func @dialect(%x: !torch.vtensor<[4,3],f32>) -> (!torch.vtensor<[2,3],f32>, !torch.vtensor<[2,3],f32>, !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,4],f32>) {
  // CHECK: %[[S:.*]] = "sparsebp.select_channels"(%arg0)
  // CHECK-NOT: sparsebp.select_channels
  %0 = "sparsebp.select_channels"(%x) {axis = 0 : i64, mask = #sparsebp.mask<"range", "c", array<i64: 0, 2>>} : (!torch.vtensor<[4,3],f32>) -> !torch.vtensor<[2,3],f32>
  %1 = "sparsebp.select_channels"(%x) {axis = 0 : i64, mask = #sparsebp.mask<"range", "c", array<i64: 0, 2>>} : (!torch.vtensor<[4,3],f32>) -> !torch.vtensor<[2,3],f32>
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %l = torch.prim.ListConstruct %int1, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %m = torch.prim.ListConstruct %int1, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[P:.*]] = torch.aten.permute %arg0
  %2 = torch.aten.permute %x, %l : !torch.vtensor<[4,3],f32>, !torch.list<int> -> !torch.vtensor<[3,4],f32>
  %3 = torch.aten.permute %x, %m : !torch.vtensor<[4,3],f32>, !torch.list<int> -> !torch.vtensor<[3,4],f32>
  // CHECK-NEXT: return %[[S]], %[[S]], %[[P]], %[[P]]
  return %0, %1, %2, %3 : !torch.vtensor<[2,3],f32>, !torch.vtensor<[2,3],f32>, !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,4],f32>
}

// Operations are equal if their operands, attributes and types are.
// CHECK-LABEL: func.func @different
func.func @different(%x: !torch.vtensor<[4],f32>, %y: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[2],f32>, !torch.vtensor<[2],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f64>) {
  %none = torch.constant.none
  %false = torch.constant.bool false
  // CHECK: %[[A:.*]] = torch.aten.div.Tensor %arg0, %arg1
  // CHECK: %[[B:.*]] = torch.aten.div.Tensor %arg1, %arg0
  %0 = torch.aten.div.Tensor %x, %y : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  %1 = torch.aten.div.Tensor %y, %x : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
  // CHECK: %[[C:.*]] = "sparsebp.select_channels"{{.*}}array<i64: 0, 2>
  // CHECK: %[[D:.*]] = "sparsebp.select_channels"{{.*}}array<i64: 1, 3>
  %2 = "sparsebp.select_channels"(%x) {axis = 0 : i64, mask = #sparsebp.mask<"range", "c", array<i64: 0, 2>>} : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[2],f32>
  %3 = "sparsebp.select_channels"(%x) {axis = 0 : i64, mask = #sparsebp.mask<"range", "c", array<i64: 1, 3>>} : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[2],f32>
  // CHECK: %[[E:.*]] = torch.operator "torch.aten.foo"(%arg0) : {{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[F:.*]] = torch.operator "torch.aten.foo"(%arg0) : {{.*}} -> !torch.vtensor<[4],f64>
  %4 = torch.operator "torch.aten.foo"(%x) : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32>
  %5 = torch.operator "torch.aten.foo"(%x) : (!torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f64>
  // CHECK: return %[[A]], %[[B]], %[[C]], %[[D]], %[[E]], %[[F]]
  return %0, %1, %2, %3, %4, %5 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[2],f32>, !torch.vtensor<[2],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],f64>
}

// Of several results all are merged; one that is used keeps the operation.
// CHECK-LABEL: func.func @several
func.func @several(%x: !torch.vtensor<[4,3],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],si64>) {
  %int1 = torch.constant.int 1
  %false = torch.constant.bool false
  // CHECK: %[[MAX:.*]], %[[WHERE:.*]] = torch.aten.max.dim %arg0
  // CHECK-NEXT: return %[[MAX]], %[[WHERE]]
  %a, %b = torch.aten.max.dim %x, %int1, %false : !torch.vtensor<[4,3],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4],f32>, !torch.vtensor<[4],si64>
  %c, %d = torch.aten.max.dim %x, %int1, %false : !torch.vtensor<[4,3],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4],f32>, !torch.vtensor<[4],si64>
  %e, %f = torch.aten.min.dim %x, %int1, %false : !torch.vtensor<[4,3],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4],f32>, !torch.vtensor<[4],si64>
  return %a, %d : !torch.vtensor<[4],f32>, !torch.vtensor<[4],si64>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "v", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Writes stay, twice over if need be. What is read in front of a write is another value than what is read behind it;
// a read that nothing needs goes.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[4],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  // CHECK-NEXT: %[[OLD:.*]] = "sparsebp.read"() {symbol = @w}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  %1 = "sparsebp.read"() {symbol = @v} : () -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: "sparsebp.assign"(%arg0)
  "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  // CHECK-NEXT: %[[NEW:.*]] = "sparsebp.read"() {symbol = @w}
  %2 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4],f32>
  // CHECK-NEXT: "sparsebp.update"(%arg0)
  // CHECK-NEXT: "sparsebp.update"(%arg0)
  "sparsebp.update"(%x) {symbol = @v, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  "sparsebp.update"(%x) {symbol = @v, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  // CHECK-NEXT: return %[[OLD]], %[[NEW]]
  return %0, %2 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}

// -----

// Draws from PyTorch's generator differ from each other, and one that nothing needs moves those behind it on. Masks of
// the dialect are functions of their seed, step and stream.
// CHECK-LABEL: func.func @random
func.func @random(%x: !torch.vtensor<[4],f32>, %seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],i1>, !torch.vtensor<[4],i1>) {
  %none = torch.constant.none
  %half = torch.constant.float 5.000000e-01
  // CHECK: %[[A:.*]] = torch.aten.bernoulli.p %arg0
  // CHECK: torch.aten.rand_like
  // CHECK: %[[B:.*]] = torch.aten.bernoulli.p %arg0
  // CHECK: %[[M:.*]] = "sparsebp.random_mask"(%arg1, %arg2)
  // CHECK: return %[[A]], %[[B]], %[[M]], %[[M]]
  %0 = torch.aten.bernoulli.p %x, %half, %none : !torch.vtensor<[4],f32>, !torch.float, !torch.none -> !torch.vtensor<[4],f32>
  %1 = torch.aten.rand_like %x, %none, %none, %none, %none, %none : !torch.vtensor<[4],f32>, !torch.none, !torch.none, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[4],f32>
  %2 = torch.aten.bernoulli.p %x, %half, %none : !torch.vtensor<[4],f32>, !torch.float, !torch.none -> !torch.vtensor<[4],f32>
  %3 = "sparsebp.random_mask"(%seed, %step) {probability = 5.000000e-01 : f64, stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],i1>
  %4 = "sparsebp.random_mask"(%seed, %step) {probability = 5.000000e-01 : f64, stream = 0 : i64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[4],i1>
  return %0, %2, %3, %4 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],i1>, !torch.vtensor<[4],i1>
}

// -----

// What happens in place happens, as often as it is written.
// CHECK-LABEL: func.func @in_place
// CHECK: torch.aten.add_.Scalar
// CHECK: torch.aten.add_.Scalar
// CHECK: torch.operator "torch.aten.mul_.Tensor"
func.func @in_place(%x: !torch.tensor, %y: !torch.tensor) {
  %int1 = torch.constant.int 1
  %0 = torch.aten.add_.Scalar %x, %int1, %int1 : !torch.tensor, !torch.int, !torch.int -> !torch.tensor
  %1 = torch.aten.add_.Scalar %x, %int1, %int1 : !torch.tensor, !torch.int, !torch.int -> !torch.tensor
  %2 = torch.operator "torch.aten.mul_.Tensor"(%x, %y) : (!torch.tensor, !torch.tensor) -> !torch.tensor
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4xf32>, dimensions = ["c"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Branches differ in what they do, and one that writes is needed for that.
// CHECK-LABEL: func.func @branches
// CHECK: %[[A:.*]] = torch.prim.If %arg1
// CHECK: torch.aten.exp
// CHECK: %[[B:.*]] = torch.prim.If %arg1
// CHECK: torch.aten.sin
// CHECK: torch.prim.If %arg1
// CHECK: sparsebp.assign
// CHECK: return %[[A]], %[[B]]
func.func @branches(%x: !torch.vtensor<[4],f32>, %c: !torch.bool) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %0 = torch.prim.If %c -> (!torch.vtensor<[4],f32>) {
    %e = torch.aten.exp %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
    torch.prim.If.yield %e : !torch.vtensor<[4],f32>
  } else {
    torch.prim.If.yield %x : !torch.vtensor<[4],f32>
  }
  %1 = torch.prim.If %c -> (!torch.vtensor<[4],f32>) {
    %e = torch.aten.sin %x : !torch.vtensor<[4],f32> -> !torch.vtensor<[4],f32>
    torch.prim.If.yield %e : !torch.vtensor<[4],f32>
  } else {
    torch.prim.If.yield %x : !torch.vtensor<[4],f32>
  }
  %2 = torch.prim.If %c -> (!torch.vtensor<[4],f32>) {
    "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
    torch.prim.If.yield %x : !torch.vtensor<[4],f32>
  } else {
    torch.prim.If.yield %x : !torch.vtensor<[4],f32>
  }
  return %0, %1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}

// -----

// A permutation of a permuted tensor is one permutation, and one that undoes it is none.
// CHECK-LABEL: func.func @permutations
// CHECK: %[[ORDER:.*]] = torch.prim.ListConstruct %int0, %int2, %int3, %int1
// CHECK: %[[KEYS:.*]] = torch.aten.permute %arg0, %[[ORDER]] : !torch.vtensor<[8,128,12,32],f32>, !torch.list<int> -> !torch.vtensor<[8,12,32,128],f32>
// CHECK-NEXT: return %[[KEYS]], %arg0
func.func @permutations(%x: !torch.vtensor<[8,128,12,32],f32>) -> (!torch.vtensor<[8,12,32,128],f32>, !torch.vtensor<[8,128,12,32],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %int-1 = torch.constant.int -1
  %int-2 = torch.constant.int -2
  %heads = torch.prim.ListConstruct %int0, %int2, %int1, %int3 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %0 = torch.aten.permute %x, %heads : !torch.vtensor<[8,128,12,32],f32>, !torch.list<int> -> !torch.vtensor<[8,12,128,32],f32>
  %1 = torch.aten.transpose.int %0, %int-1, %int-2 : !torch.vtensor<[8,12,128,32],f32>, !torch.int, !torch.int -> !torch.vtensor<[8,12,32,128],f32>
  %2 = torch.aten.permute %0, %heads : !torch.vtensor<[8,12,128,32],f32>, !torch.list<int> -> !torch.vtensor<[8,128,12,32],f32>
  return %1, %2 : !torch.vtensor<[8,12,32,128],f32>, !torch.vtensor<[8,128,12,32],f32>
}
