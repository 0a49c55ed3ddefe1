// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-rematerialize)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-rematerialize{bits=false})' | filecheck %s --check-prefix=WIDE

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<16xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Where only bits are needed, they are computed in the forward pass, of what hardtanh makes, and kept.
// CHECK-LABEL: func.func @step
// CHECK: %[[R:.*]] = torch.aten.hardtanh
// CHECK-NEXT: %[[LOW:.*]] = torch.aten.le.Scalar %[[R]], %float0
// CHECK-NEXT: %[[HIGH:.*]] = torch.aten.ge.Scalar %[[R]], %float6
// CHECK-NEXT: %[[OFF:.*]] = torch.aten.bitwise_or.Tensor %[[LOW]], %[[HIGH]]
// CHECK-NEXT: %[[S:.*]] = "sparsebp.save"(%[[OFF]])
// CHECK-NEXT: %[[Y:.*]] = torch.aten.convolution %[[R]], %arg2
// CHECK-NEXT: %[[DR:.*]] = "sparsebp.conv_input_grad"(%[[Y]], %arg2)
// CHECK-NEXT: torch.aten.where.self %[[S]], %arg3, %[[DR]]
// Where no bits are stored, they are made of it when they are needed.
// WIDE-LABEL: func.func @step
// WIDE-NOT: sparsebp.save
// WIDE: %[[R:.*]] = torch.aten.hardtanh
// WIDE: "sparsebp.conv_input_grad"
// WIDE-NEXT: torch.aten.le.Scalar %[[R]]
// WIDE-NEXT: torch.aten.ge.Scalar %[[R]]
func.func @step(%x: !torch.vtensor<[2,16,16,16],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %zero: !torch.vtensor<[],f32>, %seed: !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %float0 = torch.constant.float 0.000000e+00
  %float6 = torch.constant.float 6.000000e+00
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,16,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,16,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,16,1,1],f32>
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %a = torch.aten.add.Tensor %z, %shift, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %r = torch.aten.hardtanh %a, %float0, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float, !torch.float -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %r, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %dr = "sparsebp.conv_input_grad"(%y, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,16,16,16],f32>
  %low = torch.aten.le.Scalar %a, %float0 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %high = torch.aten.ge.Scalar %a, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %off = torch.aten.bitwise_or.Tensor %low, %high : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],i1> -> !torch.vtensor<[2,16,16,16],i1>
  %da = torch.aten.where.self %off, %zero, %dr : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %db = torch.aten.sum.dim_IntList %da, %dims, %false, %none : !torch.vtensor<[2,16,16,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[16],f32>
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16],f32>) -> ()
  return %y : !torch.vtensor<[2,16,16,16],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<16xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "u", type = tensor<16x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// What hardtanh makes is kept for a trained weight: the bits are made of that in the backward pass.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.save
// CHECK: %[[R:.*]] = torch.aten.hardtanh
// CHECK-NEXT: torch.aten.convolution %[[R]]
// CHECK-NEXT: "sparsebp.conv_input_grad"
// CHECK-NEXT: "sparsebp.conv_weight_grad"(%{{.*}}, %[[R]])
// CHECK-NEXT: torch.aten.le.Scalar %[[R]]
// CHECK-NEXT: torch.aten.ge.Scalar %[[R]]
// CHECK-NOT: sparsebp.save
// CHECK: return
func.func @step(%x: !torch.vtensor<[2,16,16,16],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %zero: !torch.vtensor<[],f32>, %seed: !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %float0 = torch.constant.float 0.000000e+00
  %float6 = torch.constant.float 6.000000e+00
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,16,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,16,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,16,1,1],f32>
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %a = torch.aten.add.Tensor %z, %shift, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %r = torch.aten.hardtanh %a, %float0, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float, !torch.float -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %r, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %dr = "sparsebp.conv_input_grad"(%y, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,16,16,16],f32>
  %dv = "sparsebp.conv_weight_grad"(%y, %r) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32>) -> !torch.vtensor<[16,16,1,1],f32>
  %low = torch.aten.le.Scalar %a, %float0 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %high = torch.aten.ge.Scalar %a, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %off = torch.aten.bitwise_or.Tensor %low, %high : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],i1> -> !torch.vtensor<[2,16,16,16],i1>
  %da = torch.aten.where.self %off, %zero, %dr : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %db = torch.aten.sum.dim_IntList %da, %dims, %false, %none : !torch.vtensor<[2,16,16,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[16],f32>
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16],f32>) -> ()
  "sparsebp.update"(%dv) {symbol = @u, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16,16,1,1],f32>) -> ()
  return %y : !torch.vtensor<[2,16,16,16],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "s", type = tensor<16xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// A trained scale needs what the mean has been taken from: that and the bits are computed again, all the way, from what
// the convolution stores anyway.
// CHECK-LABEL: func.func @step
// CHECK: %[[Z:.*]] = torch.aten.convolution
// CHECK-NEXT: %[[S:.*]] = "sparsebp.save"(%[[Z]])
// CHECK-NEXT: %[[C:.*]] = torch.aten.sub.Tensor %[[Z]], %[[MEAN:.*]], %int1
// CHECK-NEXT: %[[N:.*]] = torch.aten.mul.Tensor %[[C]], %[[SCALE:.*]] :
// CHECK-NEXT: %[[A:.*]] = torch.aten.add.Tensor %[[N]], %[[SHIFT:.*]], %int1
// CHECK-NEXT: %[[R:.*]] = torch.aten.hardtanh %[[A]]
// CHECK-NEXT: torch.aten.convolution %[[R]]
// CHECK-NEXT: "sparsebp.conv_input_grad"
// CHECK-NEXT: %[[C2:.*]] = torch.aten.sub.Tensor %[[S]], %[[MEAN]], %int1
// CHECK-NEXT: %[[N2:.*]] = torch.aten.mul.Tensor %[[C2]], %[[SCALE]]
// CHECK-NEXT: %[[A2:.*]] = torch.aten.add.Tensor %[[N2]], %[[SHIFT]], %int1
// CHECK-NEXT: %[[R2:.*]] = torch.aten.hardtanh %[[A2]]
// CHECK-NEXT: %[[LOW:.*]] = torch.aten.le.Scalar %[[R2]]
// CHECK-NEXT: %[[HIGH:.*]] = torch.aten.ge.Scalar %[[R2]]
// CHECK-NEXT: %[[OFF:.*]] = torch.aten.bitwise_or.Tensor %[[LOW]], %[[HIGH]]
// CHECK-NEXT: %[[DA:.*]] = torch.aten.where.self %[[OFF]]
// CHECK-NEXT: torch.aten.mul.Tensor %[[DA]], %[[C2]]
func.func @step(%x: !torch.vtensor<[2,16,16,16],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %zero: !torch.vtensor<[],f32>, %seed: !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %float0 = torch.constant.float 0.000000e+00
  %float6 = torch.constant.float 6.000000e+00
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,16,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,16,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,16,1,1],f32>
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %n = torch.aten.mul.Tensor %c, %scale : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %a = torch.aten.add.Tensor %n, %shift, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %r = torch.aten.hardtanh %a, %float0, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float, !torch.float -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %r, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %dr = "sparsebp.conv_input_grad"(%y, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,16,16,16],f32>
  %low = torch.aten.le.Scalar %a, %float0 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %high = torch.aten.ge.Scalar %a, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %off = torch.aten.bitwise_or.Tensor %low, %high : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],i1> -> !torch.vtensor<[2,16,16,16],i1>
  %da = torch.aten.where.self %off, %zero, %dr : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %q = torch.aten.mul.Tensor %da, %c : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %ds = torch.aten.sum.dim_IntList %q, %dims, %false, %none : !torch.vtensor<[2,16,16,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[16],f32>
  "sparsebp.update"(%ds) {symbol = @s, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16],f32>) -> ()
  return %y : !torch.vtensor<[2,16,16,16],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<16xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// A random mask is drawn once, and kept as bits.
// CHECK-LABEL: func.func @step
// CHECK: %[[BITS:.*]] = "sparsebp.random_mask"
// CHECK-NOT: sparsebp.random_mask
// CHECK: "sparsebp.conv_input_grad"
// CHECK-NEXT: torch.aten.where.self %[[BITS]]
func.func @step(%x: !torch.vtensor<[2,16,16,16],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %zero: !torch.vtensor<[],f32>, %seed: !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %float0 = torch.constant.float 0.000000e+00
  %float6 = torch.constant.float 6.000000e+00
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,16,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,16,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,16,1,1],f32>
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %bits = "sparsebp.random_mask"(%seed, %seed) {stream = 0 : i64, probability = 5.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],i1>
  %r = torch.aten.where.self %bits, %z, %zero : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %r, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %dr = "sparsebp.conv_input_grad"(%y, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,16,16,16],f32>
  %dz = torch.aten.where.self %bits, %dr, %zero : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %db = torch.aten.sum.dim_IntList %dz, %dims, %false, %none : !torch.vtensor<[2,16,16,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[16],f32>
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16],f32>) -> ()
  return %y : !torch.vtensor<[2,16,16,16],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Comparisons with other numbers than the bounds are left alone; a frozen network keeps nothing.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.save
// CHECK: %[[A:.*]] = torch.aten.add.Tensor
// CHECK: torch.aten.hardtanh %[[A]]
// CHECK: torch.aten.le.Scalar %[[A]]
// CHECK-NOT: sparsebp.save
// CHECK: return
func.func @step(%x: !torch.vtensor<[2,16,16,16],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %v: !torch.vtensor<[16,16,1,1],f32>, %zero: !torch.vtensor<[],f32>, %seed: !torch.vtensor<[],si64>) -> !torch.vtensor<[2,16,16,16],f32> {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %float0 = torch.constant.float 0.000000e+00
  %float6 = torch.constant.float 6.000000e+00
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %mean = "sparsebp.read"() {symbol = @mean} : () -> !torch.vtensor<[1,16,1,1],f32>
  %scale = "sparsebp.read"() {symbol = @scale} : () -> !torch.vtensor<[1,16,1,1],f32>
  %shift = "sparsebp.read"() {symbol = @shift} : () -> !torch.vtensor<[1,16,1,1],f32>
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %a = torch.aten.add.Tensor %z, %shift, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[1,16,1,1],f32>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %r = torch.aten.hardtanh %a, %float0, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float, !torch.float -> !torch.vtensor<[2,16,16,16],f32>
  %low = torch.aten.le.Scalar %a, %float6 : !torch.vtensor<[2,16,16,16],f32>, !torch.float -> !torch.vtensor<[2,16,16,16],i1>
  %m = torch.aten.where.self %low, %r, %a : !torch.vtensor<[2,16,16,16],i1>, !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %m, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  return %y : !torch.vtensor<[2,16,16,16],f32>
}

// -----

// Of gradients of a part of the batch, those are the backward pass, though they are returned: it takes bits, not %z.
// CHECK-LABEL: func.func @gradients
func.func @gradients(%x: !torch.vtensor<[64,64],f32>, %g: !torch.vtensor<[64,64],f32>) -> (!torch.vtensor<[64,64],f32>, !torch.vtensor<[64],f32>)
    attributes {sparsebp.shards = {count = 2 : i64, divided = array<i1: true, true>, partials = 1 : i64, whole = array<i64>}} {
  %int0 = torch.constant.int 0
  %false = torch.constant.bool false
  %none = torch.constant.none
  %rows = torch.prim.ListConstruct %int0 : (!torch.int) -> !torch.list<int>
  // CHECK: %[[Z:.*]] = torch.aten.mm %arg0, %arg0
  %z = torch.aten.mm %x, %x : !torch.vtensor<[64,64],f32>, !torch.vtensor<[64,64],f32> -> !torch.vtensor<[64,64],f32>
  %r = torch.aten.relu %z : !torch.vtensor<[64,64],f32> -> !torch.vtensor<[64,64],f32>
  // CHECK: %[[OFF:.*]] = torch.aten.le.Scalar %[[Z]]
  // CHECK: %[[BITS:.*]] = "sparsebp.save"(%[[OFF]])
  // CHECK: %[[Y:.*]] = torch.aten.mm %{{.*}}, %arg0
  %y = torch.aten.mm %r, %x : !torch.vtensor<[64,64],f32>, !torch.vtensor<[64,64],f32> -> !torch.vtensor<[64,64],f32>
  %zeros = torch.aten.zeros_like %z, %none, %none, %none, %none, %none : !torch.vtensor<[64,64],f32>, !torch.none, !torch.none, !torch.none, !torch.none, !torch.none -> !torch.vtensor<[64,64],f32>
  %off = torch.aten.le.Scalar %z, %int0 : !torch.vtensor<[64,64],f32>, !torch.int -> !torch.vtensor<[64,64],i1>
  // CHECK: torch.aten.where.self %[[BITS]]
  %d = torch.aten.where.self %off, %zeros, %g : !torch.vtensor<[64,64],i1>, !torch.vtensor<[64,64],f32>, !torch.vtensor<[64,64],f32> -> !torch.vtensor<[64,64],f32>
  // CHECK: %[[SUM:.*]] = torch.aten.sum.dim_IntList
  %s = torch.aten.sum.dim_IntList %d, %rows, %false, %none : !torch.vtensor<[64,64],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[64],f32>
  // CHECK: return %[[Y]], %[[SUM]]
  return %y, %s : !torch.vtensor<[64,64],f32>, !torch.vtensor<[64],f32>
}
