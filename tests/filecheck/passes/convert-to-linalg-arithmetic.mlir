// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-to-linalg)' | filecheck %s

// A power is computed without a logarithm of a number that may be negative, and broadcast.
// CHECK-LABEL: func.func @pow(
// CHECK-NOT: math.powf
// CHECK-NOT: math.log
// CHECK: linalg.generic
// CHECK: math.absf
// CHECK: math.roundeven
// CHECK: linalg.yield
func.func @pow(%x: !torch.vtensor<[4,3],f32>, %y: !torch.vtensor<[3],f32>) -> !torch.vtensor<[4,3],f32> {
  %0 = torch.aten.pow.Tensor_Tensor %x, %y : !torch.vtensor<[4,3],f32>, !torch.vtensor<[3],f32> -> !torch.vtensor<[4,3],f32>
  return %0 : !torch.vtensor<[4,3],f32>
}

// -----

// A square stays a product.
// CHECK-LABEL: func.func @square(
// CHECK: linalg.generic
// CHECK-NEXT: ^bb0([[X:%.*]]: f32, {{%.*}}: f32):
// CHECK-NEXT: [[XX:%.*]] = arith.mulf [[X]], [[X]] : f32
// CHECK-NEXT: linalg.yield [[XX]] : f32
func.func @square(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %int2 = torch.constant.int 2
  %0 = torch.aten.pow.Tensor_Scalar %x, %int2 : !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[4],f32>
  return %0 : !torch.vtensor<[4],f32>
}

// -----

// Powers in f64 are left to torch-mlir.
// CHECK-LABEL: func.func @double(
// CHECK: torch.aten.pow.Tensor_Tensor
func.func @double(%x: !torch.vtensor<[4],f64>, %y: !torch.vtensor<[4],f64>) -> !torch.vtensor<[4],f64> {
  %0 = torch.aten.pow.Tensor_Tensor %x, %y : !torch.vtensor<[4],f64>, !torch.vtensor<[4],f64> -> !torch.vtensor<[4],f64>
  return %0 : !torch.vtensor<[4],f64>
}

// -----

// Limits are chosen by comparisons that are false for NaN, which therefore stays.
// CHECK-LABEL: func.func @clamp(
// CHECK: arith.cmpf ogt
// CHECK: arith.select
// CHECK: arith.cmpf olt
// CHECK: arith.select
func.func @clamp(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  %low = torch.constant.float 0.0
  %high = torch.constant.float 6.0
  %0 = torch.aten.clamp %x, %low, %high : !torch.vtensor<[4],f32>, !torch.float, !torch.float -> !torch.vtensor<[4],f32>
  return %0 : !torch.vtensor<[4],f32>
}

// -----

// Limits of integers are left to torch-mlir.
// CHECK-LABEL: func.func @integers(
// CHECK: torch.aten.maximum
func.func @integers(%x: !torch.vtensor<[4],si64>, %y: !torch.vtensor<[4],si64>) -> !torch.vtensor<[4],si64> {
  %0 = torch.aten.maximum %x, %y : !torch.vtensor<[4],si64>, !torch.vtensor<[4],si64> -> !torch.vtensor<[4],si64>
  return %0 : !torch.vtensor<[4],si64>
}

// -----

// A sine is a polynomial of what is left of its angle.
// CHECK-LABEL: func.func @sine(
// CHECK-NOT: math.sin
// CHECK: arith.muli
// CHECK: linalg.yield
func.func @sine(%x: !torch.vtensor<[4],f16>) -> !torch.vtensor<[4],f16> {
  %0 = torch.aten.sin %x : !torch.vtensor<[4],f16> -> !torch.vtensor<[4],f16>
  return %0 : !torch.vtensor<[4],f16>
}

// -----

// What is left of a division is exact, and an angle has its quadrant.
// CHECK-LABEL: func.func @pairs(
// CHECK: arith.remf
// CHECK: math.atan
func.func @pairs(%y: !torch.vtensor<[4],f32>, %x: !torch.vtensor<[1],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>) {
  %0 = torch.aten.fmod.Tensor %y, %x : !torch.vtensor<[4],f32>, !torch.vtensor<[1],f32> -> !torch.vtensor<[4],f32>
  %1 = torch.aten.atan2 %y, %x : !torch.vtensor<[4],f32>, !torch.vtensor<[1],f32> -> !torch.vtensor<[4],f32>
  return %0, %1 : !torch.vtensor<[4],f32>, !torch.vtensor<[4],f32>
}
