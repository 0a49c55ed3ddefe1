// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-signed-arithmetic)' | filecheck %s

// Bytes are converted for what computes with them, in whatever operand they are; the other operands stay.
// CHECK-LABEL: func.func @promoted
func.func @promoted(%x: !torch.vtensor<[4],f32>, %p: !torch.vtensor<[4],ui8>) -> !torch.vtensor<[4],f32> {
  // CHECK: %[[SI32:.*]] = torch.constant.int 3
  // CHECK: %[[WIDE:.*]] = torch.prims.convert_element_type %arg1, %[[SI32]] : !torch.vtensor<[4],ui8>, !torch.int -> !torch.vtensor<[4],si32>
  // CHECK: torch.aten.mul.Tensor %arg0, %[[WIDE]] : !torch.vtensor<[4],f32>, !torch.vtensor<[4],si32> -> !torch.vtensor<[4],f32>
  %y = torch.aten.mul.Tensor %x, %p : !torch.vtensor<[4],f32>, !torch.vtensor<[4],ui8> -> !torch.vtensor<[4],f32>
  return %y : !torch.vtensor<[4],f32>
}

// -----

// A result that is a byte is one again for all its uses, arithmetic among them.
// CHECK-LABEL: func.func @bytes
func.func @bytes(%p: !torch.vtensor<[4],ui8>) -> (!torch.vtensor<[4],ui8>, !torch.vtensor<[4],i1>) {
  %int2 = torch.constant.int 2
  // CHECK: %[[WIDE:.*]] = torch.aten.mul.Scalar %{{.*}}, %int2 : !torch.vtensor<[4],si32>, !torch.int -> !torch.vtensor<[4],si32>
  // CHECK: %[[UI8:.*]] = torch.constant.int 0
  // CHECK: %[[BYTE:.*]] = torch.prims.convert_element_type %[[WIDE]], %[[UI8]] : !torch.vtensor<[4],si32>, !torch.int -> !torch.vtensor<[4],ui8>
  %y = torch.aten.mul.Scalar %p, %int2 : !torch.vtensor<[4],ui8>, !torch.int -> !torch.vtensor<[4],ui8>
  // CHECK: %[[AGAIN:.*]] = torch.prims.convert_element_type %[[BYTE]], %{{.*}} -> !torch.vtensor<[4],si32>
  // CHECK: %[[GREATER:.*]] = torch.aten.gt.Scalar %[[AGAIN]], %int2 : !torch.vtensor<[4],si32>, !torch.int -> !torch.vtensor<[4],i1>
  %z = torch.aten.gt.Scalar %y, %int2 : !torch.vtensor<[4],ui8>, !torch.int -> !torch.vtensor<[4],i1>
  // CHECK: return %[[BYTE]], %[[GREATER]] : !torch.vtensor<[4],ui8>, !torch.vtensor<[4],i1>
  return %y, %z : !torch.vtensor<[4],ui8>, !torch.vtensor<[4],i1>
}

// -----

// What moves or converts bytes, and what computes with signed ones, stays.
// CHECK-LABEL: func.func @moved
// CHECK-NOT: si32
func.func @moved(%p: !torch.vtensor<[4],ui8>, %s: !torch.vtensor<[4],si8>) -> (!torch.vtensor<[2,2],ui8>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],si8>) {
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int6 = torch.constant.int 6
  %l = torch.prim.ListConstruct %int2, %int2 : (!torch.int, !torch.int) -> !torch.list<int>
  %v = torch.aten.view %p, %l : !torch.vtensor<[4],ui8>, !torch.list<int> -> !torch.vtensor<[2,2],ui8>
  %f = torch.prims.convert_element_type %p, %int6 : !torch.vtensor<[4],ui8>, !torch.int -> !torch.vtensor<[4],f32>
  %t = torch.aten.add.Tensor %s, %s, %int1 : !torch.vtensor<[4],si8>, !torch.vtensor<[4],si8>, !torch.int -> !torch.vtensor<[4],si8>
  return %v, %f, %t : !torch.vtensor<[2,2],ui8>, !torch.vtensor<[4],f32>, !torch.vtensor<[4],si8>
}
