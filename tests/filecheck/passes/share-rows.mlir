// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-share-rows{count=2})' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-share-rows{count=2},sparsebp-split-channels{count=2 rank=1})' | filecheck %s --check-prefix=RANK
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-share-rows)' | filecheck %s --check-prefix=ONE
// RUN: not pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-share-rows{count=0})' 2>&1 | filecheck %s --check-prefix=ZERO

// ONE-NOT: sparsebp.by_rank
// ZERO: count = 0: expected 1 or more

// The first layers by rows, of which each rank computes a half: the four convolutions exchange once, not twice. The
// 3 x 3 convolutions need a row next to those that they make, but for where the image ends. Of another function it
// is the same layers.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[X:[^:]*]]: !torch.vtensor<[1,3,64,64],f32>)
// CHECK: %[[A:.*]] = "sparsebp.read"() {symbol = @a}
// CHECK: %[[X0:.*]] = "sparsebp.select_channels"(%[[X]]) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 33>>} : (!torch.vtensor<[1,3,64,64],f32>) -> !torch.vtensor<[1,3,33,64],f32>
// CHECK: %[[Y0:.*]] = torch.aten.convolution %[[X0]], %[[A]], {{.*}} -> !torch.vtensor<[1,64,33,64],f32>
// CHECK: %[[R0:.*]] = torch.aten.relu %[[Y0]] : !torch.vtensor<[1,64,33,64],f32> -> !torch.vtensor<[1,64,33,64],f32>
// CHECK: %[[FRONT:.*]] = torch.prim.ListConstruct %[[I0:[^,]*]], %[[I0]], %[[I1:[^,]*]], %[[I0]] :
// CHECK: %[[P0:.*]] = torch.aten.constant_pad_nd %[[R0]], %[[FRONT]], {{.*}} -> !torch.vtensor<[1,64,34,64],f32>
// CHECK: %[[COLUMNS:.*]] = torch.prim.ListConstruct %[[I0]], %[[I1]] :
// CHECK: %[[Z0:.*]] = torch.aten.convolution %[[P0]], %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %[[COLUMNS]], {{.*}} -> !torch.vtensor<[1,8,32,64],f32>
// CHECK: torch.aten.convolution %[[Z0]], {{.*}} -> !torch.vtensor<[1,64,32,64],f32>
// CHECK: torch.aten.convolution {{.*}} -> !torch.vtensor<[1,64,16,32],f32>
// CHECK: %[[O0:.*]] = torch.aten.convolution {{.*}} -> !torch.vtensor<[1,8,16,32],f32>
// CHECK: "sparsebp.select_channels"(%[[X]]) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 30, 64>>}
// CHECK: torch.aten.convolution {{.*}} -> !torch.vtensor<[1,64,34,64],f32>
// CHECK: torch.prim.ListConstruct %[[J0:[^,]*]], %[[J0]], %[[J0]], %[[J1:[^,]*]] :
// CHECK: torch.aten.convolution {{.*}} -> !torch.vtensor<[1,8,33,64],f32>
// CHECK: torch.aten.convolution {{.*}} -> !torch.vtensor<[1,64,33,64],f32>
// CHECK: torch.aten.convolution {{.*}} -> !torch.vtensor<[1,64,16,32],f32>
// CHECK: %[[O1:.*]] = torch.aten.convolution {{.*}} -> !torch.vtensor<[1,8,16,32],f32>
// CHECK: %[[PARTS:.*]] = torch.prim.ListConstruct %[[O0]], %[[O1]] :
// CHECK: %[[O:.*]] = torch.aten.cat %[[PARTS]], %{{.*}} {sparsebp.by_rank} : {{.*}} -> !torch.vtensor<[1,8,32,32],f32>
// CHECK: return %[[O]]
// CHECK-LABEL: func.func @predict
// CHECK: torch.aten.cat {{.*}} {sparsebp.by_rank}

// A rank computes its own half, and tells the other. All of both halves' weights are there.
// RANK: "sparsebp.parameter"() {{.*}}sym_name = "a", type = tensor<64x3x1x1xf32>
// RANK-LABEL: func.func @step
// RANK: "sparsebp.select_channels"({{.*}}) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 30, 64>>}
// RANK-NOT: sparsebp.select_channels
// RANK: %[[OWN:.*]] = torch.aten.convolution {{.*}} -> !torch.vtensor<[1,8,16,32],f32>
// RANK-NOT: torch.aten.convolution
// RANK: %[[I16:.*]] = torch.constant.int 16
// RANK: %[[BEHIND:.*]] = torch.prim.ListConstruct %[[I0:[^,]*]], %[[I0]], %[[I16]], %[[I0]] :
// RANK: %[[PADDED:.*]] = torch.aten.constant_pad_nd %[[OWN]], %[[BEHIND]], {{.*}} -> !torch.vtensor<[1,8,32,32],f32>
// RANK: %[[ALL:.*]] = "sparsebp.all_reduce"(%[[PADDED]]) {rank = 1 : i64, ranks = 2 : i64}
// RANK-NOT: sparsebp.all_reduce
// RANK: return %[[ALL]]
"sparsebp.parameter"() {sym_name = "a", type = tensor<64x3x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<8x64x3x3xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "c", type = tensor<64x8x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "d", type = tensor<64x1x3x3xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "e", type = tensor<8x64x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[1,3,64,64],f32>) -> !torch.vtensor<[1,8,32,32],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %64 = torch.constant.int 64
  %no = torch.constant.bool false
  %none = torch.constant.none
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %empty = torch.prim.ListConstruct : () -> !torch.list<int>
  %a = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[64,3,1,1],f32>
  %b = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[8,64,3,3],f32>
  %c = "sparsebp.read"() {symbol = @c} : () -> !torch.vtensor<[64,8,1,1],f32>
  %d = "sparsebp.read"() {symbol = @d} : () -> !torch.vtensor<[64,1,3,3],f32>
  %e = "sparsebp.read"() {symbol = @e} : () -> !torch.vtensor<[8,64,1,1],f32>
  %y = torch.aten.convolution %x, %a, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,3,64,64],f32>, !torch.vtensor<[64,3,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %r = torch.aten.relu %y : !torch.vtensor<[1,64,64,64],f32> -> !torch.vtensor<[1,64,64,64],f32>
  %z = torch.aten.convolution %r, %b, %none, %ones, %ones, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[8,64,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,64,64],f32>
  %u = torch.aten.convolution %z, %c, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,8,64,64],f32>, !torch.vtensor<[64,8,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %v = torch.aten.convolution %u, %d, %none, %twos, %ones, %ones, %no, %empty, %64 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[64,1,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,32,32],f32>
  %o = torch.aten.convolution %v, %e, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,32,32],f32>, !torch.vtensor<[8,64,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,32,32],f32>
  return %o : !torch.vtensor<[1,8,32,32],f32>
}
func.func @predict(%x: !torch.vtensor<[1,3,64,64],f32>) -> !torch.vtensor<[1,8,32,32],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %64 = torch.constant.int 64
  %no = torch.constant.bool false
  %none = torch.constant.none
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %empty = torch.prim.ListConstruct : () -> !torch.list<int>
  %a = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[64,3,1,1],f32>
  %b = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[8,64,3,3],f32>
  %c = "sparsebp.read"() {symbol = @c} : () -> !torch.vtensor<[64,8,1,1],f32>
  %d = "sparsebp.read"() {symbol = @d} : () -> !torch.vtensor<[64,1,3,3],f32>
  %e = "sparsebp.read"() {symbol = @e} : () -> !torch.vtensor<[8,64,1,1],f32>
  %y = torch.aten.convolution %x, %a, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,3,64,64],f32>, !torch.vtensor<[64,3,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %r = torch.aten.relu %y : !torch.vtensor<[1,64,64,64],f32> -> !torch.vtensor<[1,64,64,64],f32>
  %z = torch.aten.convolution %r, %b, %none, %ones, %ones, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[8,64,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,64,64],f32>
  %u = torch.aten.convolution %z, %c, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,8,64,64],f32>, !torch.vtensor<[64,8,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %v = torch.aten.convolution %u, %d, %none, %twos, %ones, %ones, %no, %empty, %64 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[64,1,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,32,32],f32>
  %o = torch.aten.convolution %v, %e, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,32,32],f32>, !torch.vtensor<[8,64,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,32,32],f32>
  return %o : !torch.vtensor<[1,8,32,32],f32>
}

// -----

// What others read is not left to one rank, and there is nothing to gain by what is in front of it.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.by_rank
"sparsebp.parameter"() {sym_name = "a", type = tensor<64x3x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<8x64x3x3xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "c", type = tensor<64x8x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "d", type = tensor<64x1x3x3xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "e", type = tensor<8x64x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[1,3,64,64],f32>) -> (!torch.vtensor<[1,8,32,32],f32>, !torch.vtensor<[1,64,64,64],f32>) {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %64 = torch.constant.int 64
  %no = torch.constant.bool false
  %none = torch.constant.none
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %empty = torch.prim.ListConstruct : () -> !torch.list<int>
  %a = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[64,3,1,1],f32>
  %b = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[8,64,3,3],f32>
  %c = "sparsebp.read"() {symbol = @c} : () -> !torch.vtensor<[64,8,1,1],f32>
  %d = "sparsebp.read"() {symbol = @d} : () -> !torch.vtensor<[64,1,3,3],f32>
  %e = "sparsebp.read"() {symbol = @e} : () -> !torch.vtensor<[8,64,1,1],f32>
  %y = torch.aten.convolution %x, %a, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,3,64,64],f32>, !torch.vtensor<[64,3,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %r = torch.aten.relu %y : !torch.vtensor<[1,64,64,64],f32> -> !torch.vtensor<[1,64,64,64],f32>
  %z = torch.aten.convolution %r, %b, %none, %ones, %ones, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[8,64,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,64,64],f32>
  %u = torch.aten.convolution %z, %c, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,8,64,64],f32>, !torch.vtensor<[64,8,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,64,64],f32>
  %v = torch.aten.convolution %u, %d, %none, %twos, %ones, %ones, %no, %empty, %64 : !torch.vtensor<[1,64,64,64],f32>, !torch.vtensor<[64,1,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,64,32,32],f32>
  %o = torch.aten.convolution %v, %e, %none, %ones, %zeros, %ones, %no, %empty, %1 : !torch.vtensor<[1,64,32,32],f32>, !torch.vtensor<[8,64,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,8,32,32],f32>
  return %o, %u : !torch.vtensor<[1,8,32,32],f32>, !torch.vtensor<[1,64,64,64],f32>
}

// -----

// Ranks add up what they exchange: numbers, and not what is true.
// CHECK-LABEL: func.func @step
// CHECK: %[[ALL:.*]] = torch.aten.cat {{.*}} {sparsebp.by_rank} : {{.*}} -> !torch.vtensor<[1,2,64,64],f32>
// CHECK: torch.aten.gt.Scalar %[[ALL]], %{{.*}} -> !torch.vtensor<[1,2,64,64],i1>
func.func @step(%x: !torch.vtensor<[1,16,64,64],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %w: !torch.vtensor<[2,16,3,3],f32>) -> !torch.vtensor<[1,2,64,64],i1> {
  %none = torch.constant.none
  %false = torch.constant.bool false
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1
    : !torch.vtensor<[1,16,64,64],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>,
      !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,16,64,64],f32>
  %z = torch.aten.convolution %y, %w, %none, %ones, %ones, %ones, %false, %zeros, %int1
    : !torch.vtensor<[1,16,64,64],f32>, !torch.vtensor<[2,16,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>,
      !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,2,64,64],f32>
  %p = torch.aten.gt.Scalar %z, %int0 : !torch.vtensor<[1,2,64,64],f32>, !torch.int -> !torch.vtensor<[1,2,64,64],i1>
  return %p : !torch.vtensor<[1,2,64,64],i1>
}
