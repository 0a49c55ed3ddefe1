// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// Exponentials are computed for their sum and again for the result, so that nothing but row maxima and sums is stored between.
// CHECK-LABEL: func.func @softmax(
// CHECK: %[[X:.*]] = "iree_tensor_ext.compute_barrier.start"
// CHECK: %[[MOST:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<4x6x10xf16>) outs(%{{.*}} : tensor<4x6xf32>)
// CHECK: arith.maximumf
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[X]], %[[MOST]] : tensor<4x6x10xf16>, tensor<4x6xf32>) outs(%{{.*}} : tensor<4x6xf32>)
// CHECK-NOT: arith.select
// CHECK: math.exp
// CHECK: linalg.generic {{.*}} ins(%[[X]], %[[MOST]], %[[SUM]] : {{.*}}) outs(%{{.*}} : tensor<4x6x10xf32>)
// CHECK: math.exp
// CHECK-NOT: arith.maximumf
// CHECK: arith.divf
func.func @softmax(%x: !torch.vtensor<[4,6,10],f16>) -> !torch.vtensor<[4,6,10],f16> {
  %dim = torch.constant.int 2
  %false = torch.constant.bool false
  %0 = torch.aten._softmax %x, %dim, %false : !torch.vtensor<[4,6,10],f16>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,10],f16>
  return %0 : !torch.vtensor<[4,6,10],f16>
}

// Attention's zeros for rows in which everything is masked come from the row's maximum; nothing tests all elements.
// CHECK-LABEL: func.func @attention(
// CHECK-NOT: torch.aten
// CHECK: arith.cmpf oeq
// CHECK: arith.select
// CHECK: math.exp
// CHECK: arith.maximumf
// CHECK: arith.divf
// CHECK: %[[Y:.*]] = torch_c.from_builtin_tensor
// CHECK: return %[[Y]]
func.func @attention(%x: !torch.vtensor<[4,6,10],f32>) -> !torch.vtensor<[4,6,10],f32> {
  %last = torch.constant.int -1
  %zero = torch.constant.int 0
  %none = torch.constant.none
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %low = torch.constant.float 0xFFF0000000000000
  %0 = torch.aten._softmax %x, %last, %false : !torch.vtensor<[4,6,10],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,10],f32>
  %1 = torch.aten.eq.Scalar %x, %low : !torch.vtensor<[4,6,10],f32>, !torch.float -> !torch.vtensor<[4,6,10],i1>
  %2 = torch.aten.all.dim %1, %last, %true : !torch.vtensor<[4,6,10],i1>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,1],i1>
  %3 = torch.aten.full_like %0, %zero, %none, %none, %none, %false, %none : !torch.vtensor<[4,6,10],f32>, !torch.int, !torch.none, !torch.none, !torch.none, !torch.bool, !torch.none -> !torch.vtensor<[4,6,10],f32>
  %4 = torch.aten.where.self %2, %3, %0 : !torch.vtensor<[4,6,1],i1>, !torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32> -> !torch.vtensor<[4,6,10],f32>
  return %4 : !torch.vtensor<[4,6,10],f32>
}

// Where something else takes the softmax as well, its masked rows stay NaN there; other dimensions are left to torch-mlir.
// CHECK-LABEL: func.func @both(
// CHECK-NOT: arith.select
// CHECK: torch.aten.where.self
// CHECK: torch.aten._softmax
func.func @both(%x: !torch.vtensor<[4,6,10],f32>) -> (!torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32>) {
  %last = torch.constant.int -1
  %first = torch.constant.int 0
  %none = torch.constant.none
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %low = torch.constant.float 0xFFF0000000000000
  %0 = torch.aten._softmax %x, %last, %false : !torch.vtensor<[4,6,10],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,10],f32>
  %1 = torch.aten.eq.Scalar %x, %low : !torch.vtensor<[4,6,10],f32>, !torch.float -> !torch.vtensor<[4,6,10],i1>
  %2 = torch.aten.all.dim %1, %last, %true : !torch.vtensor<[4,6,10],i1>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,1],i1>
  %3 = torch.aten.full_like %0, %first, %none, %none, %none, %false, %none : !torch.vtensor<[4,6,10],f32>, !torch.int, !torch.none, !torch.none, !torch.none, !torch.bool, !torch.none -> !torch.vtensor<[4,6,10],f32>
  %4 = torch.aten.where.self %2, %3, %0 : !torch.vtensor<[4,6,1],i1>, !torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32> -> !torch.vtensor<[4,6,10],f32>
  %5 = torch.aten._softmax %x, %first, %false : !torch.vtensor<[4,6,10],f32>, !torch.int, !torch.bool -> !torch.vtensor<[4,6,10],f32>
  return %0, %4, %5 : !torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32>, !torch.vtensor<[4,6,10],f32>
}
