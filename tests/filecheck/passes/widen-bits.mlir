// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-widen-bits)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-widen-bits{bits=16})' | filecheck %s --check-prefix=SHORT
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-widen-bits{bits=8})' | filecheck %s --check-prefix=BYTE

#id = affine_map<(d0) -> (d0)>
#scalar = affine_map<(d0) -> ()>

// Truth values are stored wide and computed with as they were: what is loaded is truncated, what is stored extended.
// Tensors of other types stay as they are, and so does a scalar operand.
// CHECK-LABEL: func.func @compute(%arg0: tensor<4xi32>, %arg1: tensor<4xf32>, %arg2: i1) -> (tensor<4xi32>, tensor<4xf32>)
// SHORT-LABEL: func.func @compute(%arg0: tensor<4xi16>, %arg1: tensor<4xf32>, %arg2: i1) -> (tensor<4xi16>, tensor<4xf32>)
func.func @compute(%mask: tensor<4xi1>, %x: tensor<4xf32>, %all: i1) -> (tensor<4xi1>, tensor<4xf32>) {
  %zero = arith.constant 0.0 : f32
  // CHECK: %[[E:.*]] = tensor.empty() : tensor<4xi32>
  %e = tensor.empty() : tensor<4xi1>
  %ef = tensor.empty() : tensor<4xf32>
  // CHECK: %[[R:.*]]:2 = linalg.generic {{.*}} ins(%arg0, %arg1, %arg2 : tensor<4xi32>, tensor<4xf32>, i1) outs(%[[E]], %{{.*}} : tensor<4xi32>, tensor<4xf32>)
  // SHORT: linalg.generic {{.*}} ins(%arg0, %arg1, %arg2 : tensor<4xi16>, tensor<4xf32>, i1)
  %r:2 = linalg.generic {indexing_maps = [#id, #id, #scalar, #id, #id], iterator_types = ["parallel"]}
      ins(%mask, %x, %all : tensor<4xi1>, tensor<4xf32>, i1) outs(%e, %ef : tensor<4xi1>, tensor<4xf32>) {
  // CHECK-NEXT: ^bb0(%[[IN:.*]]: i32, %[[X:.*]]: f32, %[[ALL:.*]]: i1, %{{.*}}: i32, %{{.*}}: f32):
  // CHECK-NEXT: %[[BIT:.*]] = arith.trunci %[[IN]] : i32 to i1
  // CHECK: %[[POSITIVE:.*]] = arith.cmpf ogt
  // CHECK-NEXT: %[[SOME:.*]] = arith.ori %[[POSITIVE]], %[[ALL]] : i1
  // CHECK-NEXT: %[[BOTH:.*]] = arith.andi %[[SOME]], %[[BIT]] : i1
  // CHECK-NEXT: %[[KEPT:.*]] = arith.select %[[BOTH]], %[[X]], %{{.*}} : f32
  // CHECK-NEXT: %[[STORED:.*]] = arith.extui %[[BOTH]] : i1 to i32
  // CHECK-NEXT: linalg.yield %[[STORED]], %[[KEPT]] : i32, f32
  // SHORT: arith.extui %{{.*}} : i1 to i16
  ^bb0(%in: i1, %v: f32, %a: i1, %out: i1, %outf: f32):
    %p = arith.cmpf ogt, %v, %zero : f32
    %q = arith.ori %p, %a : i1
    %both = arith.andi %q, %in : i1
    %kept = arith.select %both, %v, %zero : f32
    linalg.yield %both, %kept : i1, f32
  } -> (tensor<4xi1>, tensor<4xf32>)
  // CHECK: return %[[R]]#0, %[[R]]#1 : tensor<4xi32>, tensor<4xf32>
  return %r#0, %r#1 : tensor<4xi1>, tensor<4xf32>
}

// -----

// Bytes keep their sign. At 8 bits they stay as they are, and truth values become bytes.
// CHECK-LABEL: func.func @bytes(%arg0: tensor<4xi32>) -> (tensor<4xi32>, tensor<4xi32>)
// BYTE-LABEL: func.func @bytes(%arg0: tensor<4xi8>) -> (tensor<4xi8>, tensor<4xi8>)
func.func @bytes(%x: tensor<4xi8>) -> (tensor<4xi8>, tensor<4xi1>) {
  // CHECK-DAG: arith.constant dense<[-3, 127, 0, -128]> : tensor<4xi32>
  // CHECK-DAG: arith.constant dense<[1, 0, 0, 1]> : tensor<4xi32>
  // BYTE-DAG: arith.constant dense<[-3, 127, 0, -128]> : tensor<4xi8>
  // BYTE-DAG: arith.constant dense<[1, 0, 0, 1]> : tensor<4xi8>
  %c = arith.constant dense<[-3, 127, 0, -128]> : tensor<4xi8>
  %b = arith.constant dense<[true, false, false, true]> : tensor<4xi1>
  // Arithmetic on tensors is spelled out.
  // CHECK: linalg.generic
  // CHECK: %[[SUM:.*]] = arith.addi %{{.*}}, %{{.*}} : i8
  // CHECK: arith.extsi %[[SUM]] : i8 to i32
  %s = arith.addi %x, %c : tensor<4xi8>
  return %s, %b : tensor<4xi8>, tensor<4xi1>
}

// -----

// What moves elements changes its types; a scalar that goes into a tensor is extended, one that comes out truncated.
// What is inserted as it was extracted needs neither.
// CHECK-LABEL: func.func @moves
func.func @moves(%x: tensor<4xi1>, %s: i1, %at: index) -> (tensor<2x3xi1>, tensor<1x2xi1>, i1) {
  // CHECK: %[[V:.*]] = tensor.extract %arg0[%arg2] : tensor<4xi32>
  // CHECK: %[[T:.*]] = arith.trunci %[[V]] : i32 to i1
  %v = tensor.extract %x[%at] : tensor<4xi1>
  %n = arith.andi %v, %s : i1
  // CHECK: %[[I:.*]] = tensor.insert %[[V]] into %arg0[%arg2] : tensor<4xi32>
  %i = tensor.insert %v into %x[%at] : tensor<4xi1>
  // CHECK: tensor.expand_shape %[[I]] {{.*}} : tensor<4xi32> into tensor<2x2xi32>
  %e = tensor.expand_shape %i [[0, 1]] output_shape [2, 2] : tensor<4xi1> into tensor<2x2xi1>
  // CHECK: linalg.transpose ins(%{{.*}} : tensor<2x2xi32>) outs(%{{.*}} : tensor<2x2xi32>)
  %o = tensor.empty() : tensor<2x2xi1>
  %t = linalg.transpose ins(%e : tensor<2x2xi1>) outs(%o : tensor<2x2xi1>) permutation = [1, 0]
  // CHECK: tensor.pad %{{.*}} low[0, 0] high[0, 1] {
  // CHECK: %[[P:.*]] = arith.extui %arg1 : i1 to i32
  // CHECK: tensor.yield %[[P]] : i32
  %p = tensor.pad %t low[0, 0] high[0, 1] {
  ^bb0(%row: index, %column: index):
    tensor.yield %s : i1
  } : tensor<2x2xi1> to tensor<2x3xi1>
  // CHECK: %[[F:.*]] = arith.extui %arg1 : i1 to i32
  // CHECK: linalg.fill ins(%[[F]] : i32) outs(%{{.*}} : tensor<1x2xi32>) -> tensor<1x2xi32>
  %fe = tensor.empty() : tensor<1x2xi1>
  %f = linalg.fill ins(%s : i1) outs(%fe : tensor<1x2xi1>) -> tensor<1x2xi1>
  // CHECK: return %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x3xi32>, tensor<1x2xi32>, i1
  return %p, %f, %n : tensor<2x3xi1>, tensor<1x2xi1>, i1
}

// -----

// An element may be read in the body of an operation that is not concerned otherwise.
// CHECK-LABEL: func.func @gather(%arg0: tensor<4xi32>) -> tensor<4xf32>
// CHECK: %[[V:.*]] = tensor.extract %arg0[%{{.*}}] : tensor<4xi32>
// CHECK-NEXT: %[[T:.*]] = arith.trunci %[[V]] : i32 to i1
// CHECK-NEXT: arith.uitofp %[[T]] : i1 to f32
func.func @gather(%x: tensor<4xi1>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} outs(%e : tensor<4xf32>) {
  ^bb0(%out: f32):
    %i = linalg.index 0 : index
    %v = tensor.extract %x[%i] : tensor<4xi1>
    %f = arith.uitofp %v : i1 to f32
    linalg.yield %f : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// Operations of linalg that compute become generics, which say in what width; those of other types stay.
// CHECK-LABEL: func.func @named
func.func @named(%a: tensor<2x3xi8>, %b: tensor<3x2xi8>, %c: tensor<2x2xi32>) -> tensor<2x2xi32> {
  // CHECK: linalg.generic {{.*}} ins(%arg0, %arg1 : tensor<2x3xi32>, tensor<3x2xi32>) outs(%arg2 : tensor<2x2xi32>)
  // CHECK: arith.trunci %{{.*}} : i32 to i8
  // CHECK: arith.extsi %{{.*}} : i8 to i32
  // CHECK: arith.muli %{{.*}} : i32
  %r = linalg.matmul ins(%a, %b : tensor<2x3xi8>, tensor<3x2xi8>) outs(%c : tensor<2x2xi32>) -> tensor<2x2xi32>
  return %r : tensor<2x2xi32>
}

// -----

// Globals and what control flow carries are tensors too.
// CHECK: "util.global"() {initial_value = #flow.parameter.named<"model"::"m"> : tensor<4xi32>, sym_name = "m", sym_visibility = "private", type = tensor<4xi32>}
// CHECK: "util.global"() {initial_value = #flow.parameter.named<"model"::"w"> : tensor<4xf32>
"util.global"() {initial_value = #flow.parameter.named<"model"::"m"> : tensor<4xi8>, sym_name = "m", sym_visibility = "private", type = tensor<4xi8>} : () -> ()
"util.global"() {initial_value = #flow.parameter.named<"model"::"w"> : tensor<4xf32>, sym_name = "w", sym_visibility = "private", type = tensor<4xf32>} : () -> ()
// CHECK-LABEL: func.func @flow
func.func @flow(%x: tensor<4xi8>, %n: index, %first: i1) -> tensor<4xi8> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK: "util.global.load"() {global = @m} : () -> tensor<4xi32>
  %m = "util.global.load"() {global = @m} : () -> tensor<4xi8>
  // CHECK: scf.for {{.*}} iter_args(%{{.*}} = %arg0) -> (tensor<4xi32>)
  %l = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %x) -> (tensor<4xi8>) {
    // CHECK: scf.if %arg2 -> (tensor<4xi32>)
    %k = scf.if %first -> (tensor<4xi8>) {
      scf.yield %m : tensor<4xi8>
    } else {
      scf.yield %acc : tensor<4xi8>
    }
    scf.yield %k : tensor<4xi8>
  }
  // CHECK: return %{{.*}} : tensor<4xi32>
  return %l : tensor<4xi8>
}
