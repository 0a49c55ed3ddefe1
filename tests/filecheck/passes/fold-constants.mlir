// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fold-constants)' | filecheck %s

#id = affine_map<(d0) -> (d0)>

// Factors of a frozen batch norm: the variance goes with what is computed from it.
// CHECK: "util.global"() {initial_value = dense<[2.000000e+00, 5.000000e-01]> : tensor<2xf32>, sym_name = "variance:0"
// CHECK-NOT: "util.global"
"util.global"() {sym_name = "variance", sym_visibility = "private", type = tensor<2xf32>, initial_value = dense<[0.0, 3.75]> : tensor<2xf32>} : () -> ()

// CHECK-LABEL: func.func @factors
func.func @factors(%x: tensor<2xf32>) -> tensor<2xf32> {
  %eps = arith.constant 0.25 : f32
  %variance = "util.global.load"() {global = @variance} : () -> tensor<2xf32>
  %empty = tensor.empty() : tensor<2xf32>
  // CHECK-NOT: math.rsqrt
  %factor = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%variance : tensor<2xf32>) outs(%empty : tensor<2xf32>) {
  ^bb0(%v: f32, %out: f32):
    %sum = arith.addf %v, %eps : f32
    %r = math.rsqrt %sum : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  // CHECK: %[[FACTOR:.*]] = "util.global.load"() {global = @"variance:0"} : () -> tensor<2xf32>
  // CHECK-NEXT: linalg.generic
  // CHECK-SAME: ins(%arg0, %[[FACTOR]] : tensor<2xf32>, tensor<2xf32>)
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %factor : tensor<2xf32>, tensor<2xf32>) outs(%empty : tensor<2xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// -----

// Two functions that need the same have one global for it. What is read as it is stays too.
// CHECK: sym_name = "w:0"
// CHECK-SAME: type = tensor<3x2xf32>
// CHECK-NOT: sym_name = "w:1"
// CHECK: sym_name = "w"
"util.global"() {sym_name = "w", sym_visibility = "private", type = tensor<2x3xf32>, initial_value = dense<[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]> : tensor<2x3xf32>} : () -> ()

// CHECK-LABEL: func.func @step
func.func @step() -> (tensor<3x2xf32>, tensor<2x3xf32>) {
  %w = "util.global.load"() {global = @w} : () -> tensor<2x3xf32>
  %empty = tensor.empty() : tensor<3x2xf32>
  // CHECK-DAG: %[[WHOLE:.*]] = "util.global.load"() {global = @w} : () -> tensor<2x3xf32>
  // CHECK-DAG: %[[TURNED:.*]] = "util.global.load"() {global = @"w:0"} : () -> tensor<3x2xf32>
  %t = linalg.transpose ins(%w : tensor<2x3xf32>) outs(%empty : tensor<3x2xf32>) permutation = [1, 0]
  // CHECK: return %[[TURNED]], %[[WHOLE]]
  return %t, %w : tensor<3x2xf32>, tensor<2x3xf32>
}

// CHECK-LABEL: func.func @predict
func.func @predict() -> tensor<3x2xf32> {
  %w = "util.global.load"() {global = @w} : () -> tensor<2x3xf32>
  %empty = tensor.empty() : tensor<3x2xf32>
  // CHECK: %[[TURNED:.*]] = "util.global.load"() {global = @"w:0"}
  // CHECK-NEXT: return %[[TURNED]]
  %t = linalg.transpose ins(%w : tensor<2x3xf32>) outs(%empty : tensor<3x2xf32>) permutation = [1, 0]
  return %t : tensor<3x2xf32>
}

// -----

#id = affine_map<(d0) -> (d0)>

// Left alone: globals that are written, whose value is not there, and exponentials.
// CHECK-NOT: ":0"
"util.global"() {sym_name = "written", sym_visibility = "private", is_mutable, type = tensor<2xf32>, initial_value = dense<[1.0, 4.0]> : tensor<2xf32>} : () -> ()
"util.global"() {sym_name = "elsewhere", sym_visibility = "private", type = tensor<2xf32>, initial_value = #flow.parameter.named<"model"::"elsewhere"> : tensor<2xf32>} : () -> ()
"util.global"() {sym_name = "known", sym_visibility = "private", type = tensor<2xf32>, initial_value = dense<[1.0, 4.0]> : tensor<2xf32>} : () -> ()

// CHECK-LABEL: func.func @left
func.func @left() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  %written = "util.global.load"() {global = @written} : () -> tensor<2xf32>
  %elsewhere = "util.global.load"() {global = @elsewhere} : () -> tensor<2xf32>
  %known = "util.global.load"() {global = @known} : () -> tensor<2xf32>
  %empty = tensor.empty() : tensor<2xf32>
  // CHECK: math.sqrt
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%written : tensor<2xf32>) outs(%empty : tensor<2xf32>) {
  ^bb0(%v: f32, %out: f32):
    %r = math.sqrt %v : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  // CHECK: math.sqrt
  %b = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%elsewhere : tensor<2xf32>) outs(%empty : tensor<2xf32>) {
  ^bb0(%v: f32, %out: f32):
    %r = math.sqrt %v : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  // CHECK: math.exp
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%known : tensor<2xf32>) outs(%empty : tensor<2xf32>) {
  ^bb0(%v: f32, %out: f32):
    %r = math.exp %v : f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  return %a, %b, %c : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}

// -----

// A weight of 8 KiB is read in two layouts, for which it goes; reshaping one of them costs nothing.
// CHECK-DAG: sym_name = "two:0"
// CHECK-DAG: sym_name = "two:1"
// CHECK-NOT: sym_name = "two"
"util.global"() {sym_name = "two", sym_visibility = "private", type = tensor<8x4x64xi32>, initial_value = dense<7> : tensor<8x4x64xi32>} : () -> ()
// Others are read as they are, too, or in three layouts: more than twice the bytes that would go.
// CHECK-NOT: sym_name = "whole:0"
// CHECK: sym_name = "whole"
// CHECK-NOT: sym_name = "three:0"
// CHECK: sym_name = "three"
"util.global"() {sym_name = "whole", sym_visibility = "private", type = tensor<8x4x64xi32>, initial_value = dense<8> : tensor<8x4x64xi32>} : () -> ()
"util.global"() {sym_name = "three", sym_visibility = "private", type = tensor<8x4x64xi32>, initial_value = dense<9> : tensor<8x4x64xi32>} : () -> ()

// CHECK-LABEL: func.func @layouts
func.func @layouts() -> (tensor<64x4x8xi32>, tensor<32x64xi32>) {
  %two = "util.global.load"() {global = @two} : () -> tensor<8x4x64xi32>
  %empty = tensor.empty() : tensor<64x4x8xi32>
  %other = tensor.empty() : tensor<4x8x64xi32>
  // CHECK-DAG: "util.global.load"() {global = @"two:{{[01]}}"} : () -> tensor<64x4x8xi32>
  // CHECK-DAG: %[[OTHER:.*]] = "util.global.load"() {global = @"two:{{[01]}}"} : () -> tensor<4x8x64xi32>
  // CHECK-DAG: tensor.collapse_shape %[[OTHER]]
  %a = linalg.transpose ins(%two : tensor<8x4x64xi32>) outs(%empty : tensor<64x4x8xi32>) permutation = [2, 1, 0]
  %b = linalg.transpose ins(%two : tensor<8x4x64xi32>) outs(%other : tensor<4x8x64xi32>) permutation = [1, 0, 2]
  %flat = tensor.collapse_shape %b [[0, 1], [2]] : tensor<4x8x64xi32> into tensor<32x64xi32>
  return %a, %flat : tensor<64x4x8xi32>, tensor<32x64xi32>
}

// CHECK-LABEL: func.func @as_it_is
func.func @as_it_is() -> (tensor<64x4x8xi32>, tensor<8x4x64xi32>) {
  %whole = "util.global.load"() {global = @whole} : () -> tensor<8x4x64xi32>
  %empty = tensor.empty() : tensor<64x4x8xi32>
  // CHECK: linalg.transpose
  %a = linalg.transpose ins(%whole : tensor<8x4x64xi32>) outs(%empty : tensor<64x4x8xi32>) permutation = [2, 1, 0]
  return %a, %whole : tensor<64x4x8xi32>, tensor<8x4x64xi32>
}

// CHECK-LABEL: func.func @three_layouts
func.func @three_layouts() -> (tensor<64x4x8xi32>, tensor<4x8x64xi32>, tensor<8x64x4xi32>) {
  %three = "util.global.load"() {global = @three} : () -> tensor<8x4x64xi32>
  %empty = tensor.empty() : tensor<64x4x8xi32>
  %other = tensor.empty() : tensor<4x8x64xi32>
  %another = tensor.empty() : tensor<8x64x4xi32>
  // CHECK-COUNT-3: linalg.transpose
  %a = linalg.transpose ins(%three : tensor<8x4x64xi32>) outs(%empty : tensor<64x4x8xi32>) permutation = [2, 1, 0]
  %b = linalg.transpose ins(%three : tensor<8x4x64xi32>) outs(%other : tensor<4x8x64xi32>) permutation = [1, 0, 2]
  %c = linalg.transpose ins(%three : tensor<8x4x64xi32>) outs(%another : tensor<8x64x4xi32>) permutation = [0, 2, 1]
  return %a, %b, %c : tensor<64x4x8xi32>, tensor<4x8x64xi32>, tensor<8x64x4xi32>
}

// -----

// A single number that depends on no global becomes a constant of the program.
#scalar = affine_map<() -> ()>
// CHECK-LABEL: func.func @number
func.func @number(%x: tensor<f32>) -> tensor<f32> {
  %one = arith.constant dense<1.0> : tensor<f32>
  %empty = tensor.empty() : tensor<f32>
  // CHECK: arith.constant dense<-1.000000e+00> : tensor<f32>
  // CHECK-NOT: arith.negf
  %minus = linalg.generic {indexing_maps = [#scalar, #scalar], iterator_types = []} ins(%one : tensor<f32>) outs(%empty : tensor<f32>) {
  ^bb0(%a: f32, %out: f32):
    %r = arith.negf %a : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  return %minus : tensor<f32>
}

// -----

#id = affine_map<(d0) -> (d0)>

// Left alone: operations of several results, of which one may be read and the other not, and globals of other modules.
"util.global"() {sym_name = "w", sym_visibility = "private", type = tensor<2xf32>, initial_value = dense<[1.0, 4.0]> : tensor<2xf32>} : () -> ()
// CHECK-LABEL: func.func @several
func.func @several() -> (tensor<2xf32>, tensor<2xf32>) {
  %w = "util.global.load"() {global = @w} : () -> tensor<2xf32>
  %empty = tensor.empty() : tensor<2xf32>
  // CHECK: %[[BOTH:.*]]:2 = linalg.generic
  %both:2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%w : tensor<2xf32>) outs(%empty, %empty : tensor<2xf32>, tensor<2xf32>) {
  ^bb0(%a: f32, %out: f32, %other: f32):
    %r = arith.negf %a : f32
    linalg.yield %a, %r : f32, f32
  } -> (tensor<2xf32>, tensor<2xf32>)
  // CHECK: %[[ELSEWHERE:.*]] = "util.global.load"() {global = @elsewhere}
  %elsewhere = "util.global.load"() {global = @elsewhere} : () -> tensor<2xf32>
  // CHECK: return %[[BOTH]]#1, %[[ELSEWHERE]]
  return %both#1, %elsewhere : tensor<2xf32>, tensor<2xf32>
}
