// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-prune-positions)' | filecheck %s

// Of a layer that is computed for 8 tokens of 4 sequences, only the first token's output is looked at: the
// product has a row a sequence, and so has its weight gradient.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[32,8],f32>, %w: !torch.vtensor<[8,8],f32>, %g: !torch.vtensor<[4,8],f32>)
    -> (!torch.vtensor<[4,8],f32>, !torch.vtensor<[8,8],f32>) {
  %false = torch.constant.bool false
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %4 = torch.constant.int 4
  %8 = torch.constant.int 8
  %32 = torch.constant.int 32
  %split = torch.prim.ListConstruct %4, %8, %8 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %merged = torch.prim.ListConstruct %32, %8 : (!torch.int, !torch.int) -> !torch.list<int>
  %swapped = torch.prim.ListConstruct %1, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %counted = torch.prim.ListConstruct %8, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[X:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"list", "positions", array<i64: 0, 8, 16, 24>>}
  // CHECK: torch.aten.mm %[[X]], %arg1 : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,8],f32> -> !torch.vtensor<[4,8],f32>
  %h = torch.aten.mm %x, %w : !torch.vtensor<[32,8],f32>, !torch.vtensor<[8,8],f32> -> !torch.vtensor<[32,8],f32>
  %s = torch.aten.view %h, %split : !torch.vtensor<[32,8],f32>, !torch.list<int> -> !torch.vtensor<[4,8,8],f32>
  // CHECK-NOT: torch.aten.select.int
  %y = torch.aten.select.int %s, %1, %0 : !torch.vtensor<[4,8,8],f32>, !torch.int, !torch.int -> !torch.vtensor<[4,8],f32>
  %n = torch.aten.arange.start_step %0, %8, %1, %4, %none, %none, %none : !torch.int, !torch.int, !torch.int, !torch.int, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[8],si64>
  %c = torch.aten.view %n, %counted : !torch.vtensor<[8],si64>, !torch.list<int> -> !torch.vtensor<[8,1],si64>
  %first = torch.aten.eq.Scalar %c, %0 : !torch.vtensor<[8,1],si64>, !torch.int -> !torch.vtensor<[8,1],i1>
  %u = torch.aten.unsqueeze %g, %1 : !torch.vtensor<[4,8],f32>, !torch.int -> !torch.vtensor<[4,1,8],f32>
  %e = torch.aten.expand %u, %split, %false : !torch.vtensor<[4,1,8],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[4,8,8],f32>
  %zeros = torch.aten.full_like %e, %0, %none, %none, %none, %none, %none : !torch.vtensor<[4,8,8],f32>, !torch.int, !torch.none, !torch.none, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[4,8,8],f32>
  // CHECK-NOT: torch.aten.where
  %p = torch.aten.where.self %first, %e, %zeros : !torch.vtensor<[8,1],i1>, !torch.vtensor<[4,8,8],f32>, !torch.vtensor<[4,8,8],f32> -> !torch.vtensor<[4,8,8],f32>
  // CHECK: %[[U:.*]] = torch.aten.unsqueeze %arg2
  // CHECK: %[[G:.*]] = torch.aten.view %[[U]], {{.*}} -> !torch.vtensor<[4,8],f32>
  %f = torch.aten.view %p, %merged : !torch.vtensor<[4,8,8],f32>, !torch.list<int> -> !torch.vtensor<[32,8],f32>
  // CHECK: %[[T:.*]] = torch.aten.permute %[[X]], {{.*}} -> !torch.vtensor<[8,4],f32>
  %t = torch.aten.permute %x, %swapped : !torch.vtensor<[32,8],f32>, !torch.list<int> -> !torch.vtensor<[8,32],f32>
  // CHECK: torch.aten.mm %[[T]], %[[G]] : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,8],f32> -> !torch.vtensor<[8,8],f32>
  %dw = torch.aten.mm %t, %f : !torch.vtensor<[8,32],f32>, !torch.vtensor<[32,8],f32> -> !torch.vtensor<[8,8],f32>
  return %y, %dw : !torch.vtensor<[4,8],f32>, !torch.vtensor<[8,8],f32>
}

// -----

// Where such a gradient meets one that is not zero anywhere, it is put among zeros.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,8],f32>, %w: !torch.vtensor<[8,4],f32>, %d: !torch.vtensor<[5,4],f32>)
    -> !torch.vtensor<[5,4],f32> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %3 = torch.constant.int 3
  %5 = torch.constant.int 5
  %8 = torch.constant.int 8
  %whole = torch.prim.ListConstruct %5, %8 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.aten.zeros %whole, %none, %none, %none, %none : !torch.list<int>, !torch.none, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[5,8],f32>
  %p = torch.aten.slice_scatter %zeros, %g, %0, %1, %3, %1 : !torch.vtensor<[5,8],f32>, !torch.vtensor<[2,8],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[5,8],f32>
  // CHECK: %[[P:.*]] = torch.aten.mm %arg0, %arg1 : !torch.vtensor<[2,8],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[2,4],f32>
  // CHECK: torch.aten.slice_scatter
  %m = torch.aten.mm %p, %w : !torch.vtensor<[5,8],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[5,4],f32>
  // CHECK: torch.aten.add.Tensor {{.*}} -> !torch.vtensor<[5,4],f32>
  %r = torch.aten.add.Tensor %m, %d, %1 : !torch.vtensor<[5,4],f32>, !torch.vtensor<[5,4],f32>, !torch.int -> !torch.vtensor<[5,4],f32>
  return %r : !torch.vtensor<[5,4],f32>
}

// -----

// Without a product that would become smaller, nothing changes; nor do slices of what is needed whole.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[2,8],f32>, %x: !torch.vtensor<[5,8],f32>)
    -> (!torch.vtensor<[5,8],f32>, !torch.vtensor<[2,8],f32>, !torch.vtensor<[5,8],f32>) {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %3 = torch.constant.int 3
  %5 = torch.constant.int 5
  %8 = torch.constant.int 8
  %whole = torch.prim.ListConstruct %5, %8 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.aten.zeros %whole, %none, %none, %none, %none : !torch.list<int>, !torch.none, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[5,8],f32>
  // CHECK: %[[P:.*]] = torch.aten.slice_scatter
  %p = torch.aten.slice_scatter %zeros, %g, %0, %1, %3, %1 : !torch.vtensor<[5,8],f32>, !torch.vtensor<[2,8],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[5,8],f32>
  // CHECK-NEXT: torch.aten.mul.Tensor %[[P]], %arg1 : !torch.vtensor<[5,8],f32>, !torch.vtensor<[5,8],f32>
  %m = torch.aten.mul.Tensor %p, %x : !torch.vtensor<[5,8],f32>, !torch.vtensor<[5,8],f32> -> !torch.vtensor<[5,8],f32>
  // CHECK-NEXT: %[[E:.*]] = torch.aten.exp %arg1 : !torch.vtensor<[5,8],f32>
  %e = torch.aten.exp %x : !torch.vtensor<[5,8],f32> -> !torch.vtensor<[5,8],f32>
  // CHECK-NEXT: torch.aten.slice.Tensor %[[E]]
  %s = torch.aten.slice.Tensor %e, %0, %1, %3, %1 : !torch.vtensor<[5,8],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,8],f32>
  return %m, %s, %e : !torch.vtensor<[5,8],f32>, !torch.vtensor<[2,8],f32>, !torch.vtensor<[5,8],f32>
}

// -----

// Of a slice of a slice, both move.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[4,6],f32>) -> !torch.vtensor<[2,3],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  // CHECK: %[[R:.*]] = "sparsebp.select_channels"(%arg0) {axis = 0 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 2>>}
  // CHECK: %[[C:.*]] = "sparsebp.select_channels"(%[[R]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 3>>}
  // CHECK: torch.aten.exp %[[C]]
  %e = torch.aten.exp %x : !torch.vtensor<[4,6],f32> -> !torch.vtensor<[4,6],f32>
  %r = torch.aten.slice.Tensor %e, %0, %0, %2, %1 : !torch.vtensor<[4,6],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,6],f32>
  %c = torch.aten.slice.Tensor %r, %1, %0, %3, %1 : !torch.vtensor<[2,6],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,3],f32>
  return %c : !torch.vtensor<[2,3],f32>
}
