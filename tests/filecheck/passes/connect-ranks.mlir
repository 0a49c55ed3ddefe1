// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-connect-ranks)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-connect-ranks{scheduler=x86_64})' | filecheck %s --check-prefix=LINUX

// Each function takes what the ranks exchange in, and returns it in the same storage; places for two exchanges of two ranks, of 256 bytes as the largest sum.
// CHECK-LABEL: func.func @step(%arg0: tensor<64xf32>, %arg1: tensor<3x5xf32>, %arg2: tensor<1024xi8> {iree.abi.output = 2 : index, pock.shared}, %arg3: tensor<2x16xi32> {iree.abi.output = 3 : index, pock.shared})
// CHECK-DAG: %[[RANK:.*]] = arith.constant 1 : i32
// CHECK-DAG: %[[FIRST:.*]] = arith.constant 0 : i32
// CHECK: %[[A:.*]]:3 = "flow.dispatch"(%{{.*}}, %{{.*}}, %arg0, %arg2, %arg3) {{.*}}entry_points = [@all_reduce_64xf32::@all_reduce_64xf32]{{.*}}tied_operands = [-1 : index, 3 : index, 4 : index]
// The next exchange is behind it, and in the other places; one of as many elements has the same kernel.
// CHECK: %[[B:.*]]:3 = "flow.dispatch"(%{{.*}}, %{{.*}}, %arg1, %[[A]]#1, %[[A]]#2) {{.*}}@all_reduce_15xf32
// CHECK: %[[C:.*]]:3 = "flow.dispatch"(%{{.*}}, %{{.*}}, %[[A]]#0, %[[B]]#1, %[[B]]#2) {{.*}}@all_reduce_64xf32
// CHECK: return %[[C]]#0, %[[B]]#0, %[[C]]#1, %[[C]]#2
// CHECK-LABEL: func.func @predict(%arg0: tensor<64xf32>, %arg1: tensor<1024xi8>
// CHECK: return %arg0, %arg1, %arg2

// Vectors first, and then what they leave.
// CHECK-COUNT-1: sym_name = "all_reduce_64xf32", sym_visibility = "private"
// CHECK: vector<16xf32>
// CHECK-COUNT-1: sym_name = "all_reduce_15xf32", sym_visibility = "private"
// CHECK-NOT: vector<16xf32>
// CHECK: memref.load {{.*}} : memref<15xf32>
// CHECK: memref.atomic_rmw addi
// CHECK: scf.while
// CHECK-NOT: llvm.inline_asm
// LINUX: scf.while
// LINUX: llvm.inline_asm has_side_effects "syscall"
func.func @step(%x: tensor<64xf32>, %y: tensor<3x5xf32>) -> (tensor<64xf32>, tensor<3x5xf32>) {
  %0 = "sparsebp.all_reduce"(%x) {rank = 1 : i64, ranks = 2 : i64} : (tensor<64xf32>) -> tensor<64xf32>
  %1 = "sparsebp.all_reduce"(%y) {rank = 1 : i64, ranks = 2 : i64} : (tensor<3x5xf32>) -> tensor<3x5xf32>
  %2 = "sparsebp.all_reduce"(%0) {rank = 1 : i64, ranks = 2 : i64} : (tensor<64xf32>) -> tensor<64xf32>
  return %2, %1 : tensor<64xf32>, tensor<3x5xf32>
}
func.func @predict(%x: tensor<64xf32>) -> tensor<64xf32> {
  return %x : tensor<64xf32>
}

// -----

// Where nothing is exchanged nothing changes.
// CHECK-LABEL: func.func @step(%arg0: tensor<4xf32>) -> tensor<4xf32>
func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

// Exchanges alternate between the two places, and numbers of any width are added up a whole vector at a time.
// CHECK-LABEL: func.func @step({{.*}}: tensor<1536xi8> {{{.*}}}, {{.*}}: tensor<4x16xi32>
// CHECK: %[[R0:.*]] = arith.constant 2 : i32
// CHECK-NEXT: %[[P0:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[A:.*]]:3 = "flow.dispatch"(%[[R0]], %[[P0]], %arg0, %arg3, %arg4)
// CHECK-NEXT: %[[R1:.*]] = arith.constant 2 : i32
// CHECK-NEXT: %[[P1:.*]] = arith.constant 1 : i32
// CHECK-NEXT: %[[B:.*]]:3 = "flow.dispatch"(%[[R1]], %[[P1]], %arg1, %[[A]]#1, %[[A]]#2)
// CHECK-NEXT: %[[R2:.*]] = arith.constant 2 : i32
// CHECK-NEXT: %[[P2:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[C:.*]]:3 = "flow.dispatch"(%[[R2]], %[[P2]], %arg2, %[[B]]#1, %[[B]]#2)
// CHECK-NEXT: return %[[A]]#0, %[[B]]#0, %[[C]]#0, %[[C]]#1, %[[C]]#2
// CHECK: sym_name = "all_reduce_70xf16", sym_visibility = "private"
// CHECK: memref.load %{{.*}} : memref<70xf16>
// CHECK: memref.atomic_rmw addi
// CHECK-COUNT-4: vector.load %{{.*}} : memref<768xf16>, vector<32xf16>
// CHECK-COUNT-3: arith.addf %{{.*}} : vector<32xf16>
// CHECK-COUNT-3: arith.addf %{{.*}} : f16
// CHECK: sym_name = "all_reduce_9xf64", sym_visibility = "private"
// CHECK-COUNT-3: arith.addf %{{.*}} : vector<8xf64>
// CHECK-COUNT-3: arith.addf %{{.*}} : f64
// CHECK: sym_name = "all_reduce_3xbf16", sym_visibility = "private"
// CHECK-NOT: vector<
// CHECK-COUNT-3: arith.addf %{{.*}} : bf16
func.func @step(%x: tensor<70xf16>, %y: tensor<9xf64>, %z: tensor<3xbf16>) -> (tensor<70xf16>, tensor<9xf64>, tensor<3xbf16>) {
  %0 = "sparsebp.all_reduce"(%x) {rank = 2 : i64, ranks = 4 : i64} : (tensor<70xf16>) -> tensor<70xf16>
  %1 = "sparsebp.all_reduce"(%y) {rank = 2 : i64, ranks = 4 : i64} : (tensor<9xf64>) -> tensor<9xf64>
  %2 = "sparsebp.all_reduce"(%z) {rank = 2 : i64, ranks = 4 : i64} : (tensor<3xbf16>) -> tensor<3xbf16>
  return %0, %1, %2 : tensor<70xf16>, tensor<9xf64>, tensor<3xbf16>
}
