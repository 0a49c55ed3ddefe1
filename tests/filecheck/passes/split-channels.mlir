// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-channels{count=2})' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-channels{count=2 rank=1})' | filecheck %s --check-prefix=SECOND
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-channels{count=1})' | filecheck %s --check-prefix=ONE

// Of two layers the first gives a part of its channels and the second sums over them: one exchange forward and, as its input is an argument, none backward. Both weights are parts, as their gradients are.
// CHECK: sparsebp.part = array<i64: 0, 1, 2>, sym_name = "up", type = tensor<256x512xf32>
// CHECK: sparsebp.part = array<i64: 1, 1, 2>, sym_name = "down", type = tensor<64x256xf32>
// CHECK-LABEL: func.func @step
// CHECK: %[[H:.*]] = torch.aten.mm %arg0, %{{.*}} -> !torch.vtensor<[128,256],f32>
// CHECK: %[[R:.*]] = torch.aten.relu %[[H]]
// CHECK: %[[S:.*]] = torch.aten.mm %[[R]], %{{.*}} -> !torch.vtensor<[128,64],f32>
// CHECK: %[[Y:.*]] = "sparsebp.all_reduce"(%[[S]]) {rank = 0 : i64, ranks = 2 : i64}
// CHECK: %[[DDOWN:.*]] = torch.aten.mm %{{.*}}, %[[R]] : {{.*}} -> !torch.vtensor<[64,256],f32>
// CHECK: %[[DR:.*]] = torch.aten.mm %{{.*}} -> !torch.vtensor<[128,256],f32>
// CHECK: %[[DUP:.*]] = torch.aten.mm %{{.*}}, %arg0 : {{.*}} -> !torch.vtensor<[256,512],f32>
// CHECK-NOT: sparsebp.all_reduce
// CHECK: "sparsebp.update"(%[[DUP]])
// CHECK: "sparsebp.update"(%[[DDOWN]])
// SECOND: "sparsebp.all_reduce"(%{{.*}}) {rank = 1 : i64, ranks = 2 : i64}
// ONE-NOT: sparsebp.part
// ONE-LABEL: func.func @step
// ONE-NOT: sparsebp.all_reduce
// ONE: return
"sparsebp.parameter"() {sym_name = "up", type = tensor<512x512xf32>, role = "parameter", dimensions = ["o", "i"], mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "down", type = tensor<64x512xf32>, role = "parameter", dimensions = ["o", "i"], mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,512],f32>) -> !torch.vtensor<[],f32> {
  %none = torch.constant.none
  %up = "sparsebp.read"() {symbol = @up} : () -> !torch.vtensor<[512,512],f32>
  %down = "sparsebp.read"() {symbol = @down} : () -> !torch.vtensor<[64,512],f32>
  %upt = torch.aten.t %up : !torch.vtensor<[512,512],f32> -> !torch.vtensor<[512,512],f32>
  %downt = torch.aten.t %down : !torch.vtensor<[64,512],f32> -> !torch.vtensor<[512,64],f32>
  %h = torch.aten.mm %x, %upt : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,512],f32> -> !torch.vtensor<[128,512],f32>
  %r = torch.aten.relu %h : !torch.vtensor<[128,512],f32> -> !torch.vtensor<[128,512],f32>
  %y = torch.aten.mm %r, %downt : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,64],f32> -> !torch.vtensor<[128,64],f32>
  %yt = torch.aten.t %y : !torch.vtensor<[128,64],f32> -> !torch.vtensor<[64,128],f32>
  %ddown = torch.aten.mm %yt, %r : !torch.vtensor<[64,128],f32>, !torch.vtensor<[128,512],f32> -> !torch.vtensor<[64,512],f32>
  %dr = torch.aten.mm %y, %down : !torch.vtensor<[128,64],f32>, !torch.vtensor<[64,512],f32> -> !torch.vtensor<[128,512],f32>
  %drt = torch.aten.t %dr : !torch.vtensor<[128,512],f32> -> !torch.vtensor<[512,128],f32>
  %dup = torch.aten.mm %drt, %x : !torch.vtensor<[512,128],f32>, !torch.vtensor<[128,512],f32> -> !torch.vtensor<[512,512],f32>
  "sparsebp.update"(%dup) {symbol = @up, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[512,512],f32>) -> ()
  "sparsebp.update"(%ddown) {symbol = @down, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[64,512],f32>) -> ()
  %loss = torch.aten.sum %y, %none : !torch.vtensor<[128,64],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss : !torch.vtensor<[],f32>
}

// -----

// A depthwise convolution has half of the groups, and a bias is added behind the sum.
// CHECK-LABEL: func.func @step
// CHECK: %[[H:.*]] = torch.aten.convolution %arg0, %{{.*}} -> !torch.vtensor<[1,96,32,32],f32>
// CHECK: %[[GROUPS:.*]] = torch.constant.int 96
// CHECK: %[[D:.*]] = torch.aten.convolution %[[H]], {{.*}}, %[[GROUPS]] : {{.*}} !torch.vtensor<[96,1,3,3],f32>, {{.*}} -> !torch.vtensor<[1,96,32,32],f32>
// CHECK: %[[S:.*]] = torch.aten.convolution %[[D]], %{{.*}} !torch.vtensor<[32,96,1,1],f32>, !torch.none
// CHECK: %[[Y:.*]] = "sparsebp.all_reduce"(%[[S]])
// CHECK: torch.aten.add.Tensor %[[Y]], %{{.*}}
"sparsebp.parameter"() {sym_name = "expand", type = tensor<192x32x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "depthwise", type = tensor<192x1x3x3xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "project", type = tensor<32x192x1x1xf32>, role = "parameter", dimensions = ["o", "i", "h", "w"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "bias", type = tensor<32xf32>, role = "parameter", dimensions = ["o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[1,32,32,32],f32>) -> !torch.vtensor<[1,32,32,32],f32> {
  %none = torch.constant.none
  %false = torch.constant.bool false
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %192 = torch.constant.int 192
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %nothing = torch.prim.ListConstruct  : () -> !torch.list<int>
  %e = "sparsebp.read"() {symbol = @expand} : () -> !torch.vtensor<[192,32,1,1],f32>
  %d = "sparsebp.read"() {symbol = @depthwise} : () -> !torch.vtensor<[192,1,3,3],f32>
  %p = "sparsebp.read"() {symbol = @project} : () -> !torch.vtensor<[32,192,1,1],f32>
  %b = "sparsebp.read"() {symbol = @bias} : () -> !torch.vtensor<[32],f32>
  %h = torch.aten.convolution %x, %e, %none, %ones, %zeros, %ones, %false, %zeros, %1 : !torch.vtensor<[1,32,32,32],f32>, !torch.vtensor<[192,32,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,192,32,32],f32>
  %m = torch.aten.convolution %h, %d, %none, %ones, %ones, %ones, %false, %zeros, %192 : !torch.vtensor<[1,192,32,32],f32>, !torch.vtensor<[192,1,3,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,192,32,32],f32>
  %y = torch.aten.convolution %m, %p, %b, %ones, %zeros, %ones, %false, %zeros, %1 : !torch.vtensor<[1,192,32,32],f32>, !torch.vtensor<[32,192,1,1],f32>, !torch.vtensor<[32],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,32,32,32],f32>
  return %y : !torch.vtensor<[1,32,32,32],f32>
}

// -----

// Sums that are added are exchanged once, as the gradients of an attention's input are.
// CHECK-LABEL: func.func @step
// CHECK: torch.aten.mm %arg0
// CHECK: %[[A:.*]] = torch.aten.mm
// CHECK: %[[B:.*]] = torch.aten.mm
// CHECK: %[[SUM:.*]] = torch.aten.add.Tensor %[[A]], %[[B]]
// CHECK: "sparsebp.all_reduce"(%[[SUM]])
// CHECK-NOT: sparsebp.all_reduce
// CHECK: return
"sparsebp.parameter"() {sym_name = "w", type = tensor<512x64xf32>, role = "parameter", dimensions = ["i", "o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "up", type = tensor<64x512xf32>, role = "parameter", dimensions = ["i", "o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,64],f32>) -> !torch.vtensor<[128,64],f32> {
  %1 = torch.constant.int 1
  %up = "sparsebp.read"() {symbol = @up} : () -> !torch.vtensor<[64,512],f32>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[512,64],f32>
  %h = torch.aten.mm %x, %up : !torch.vtensor<[128,64],f32>, !torch.vtensor<[64,512],f32> -> !torch.vtensor<[128,512],f32>
  %g = torch.aten.relu %h : !torch.vtensor<[128,512],f32> -> !torch.vtensor<[128,512],f32>
  %a = torch.aten.mm %h, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,64],f32> -> !torch.vtensor<[128,64],f32>
  %b = torch.aten.mm %g, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,64],f32> -> !torch.vtensor<[128,64],f32>
  %y = torch.aten.add.Tensor %a, %b, %1 : !torch.vtensor<[128,64],f32>, !torch.vtensor<[128,64],f32>, !torch.int -> !torch.vtensor<[128,64],f32>
  return %y : !torch.vtensor<[128,64],f32>
}

// -----

// A parameter of which some channels are updated stays whole. Of that, a rank reads its part, and the gradient is exchanged.
// CHECK: sym_name = "up", type = tensor<512x64xf32>
// CHECK-LABEL: func.func @step
// CHECK: %[[BEGIN:.*]] = torch.constant.int 0
// CHECK: torch.aten.slice.Tensor %{{.*}} : !torch.vtensor<[512,64],f32>, {{.*}} -> !torch.vtensor<[256,64],f32>
// CHECK: "sparsebp.all_reduce"
// CHECK: "sparsebp.update"(%{{.*}}) {{.*}} : (!torch.vtensor<[512,8],f32>) -> ()
// SECOND: torch.constant.int 256
// SECOND: torch.aten.slice.Tensor %{{.*}} : !torch.vtensor<[512,64],f32>, {{.*}} -> !torch.vtensor<[256,64],f32>
"sparsebp.parameter"() {sym_name = "up", type = tensor<512x64xf32>, role = "parameter", dimensions = ["o", "i"], mask = #sparsebp.mask<"range", "i", array<i64: 0, 8>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,64],f32>, %some: !torch.vtensor<[128,8],f32>) -> !torch.vtensor<[],f32> {
  %none = torch.constant.none
  %up = "sparsebp.read"() {symbol = @up} : () -> !torch.vtensor<[512,64],f32>
  %upt = torch.aten.t %up : !torch.vtensor<[512,64],f32> -> !torch.vtensor<[64,512],f32>
  %h = torch.aten.mm %x, %upt : !torch.vtensor<[128,64],f32>, !torch.vtensor<[64,512],f32> -> !torch.vtensor<[128,512],f32>
  %ht = torch.aten.t %h : !torch.vtensor<[128,512],f32> -> !torch.vtensor<[512,128],f32>
  %dup = torch.aten.mm %ht, %some : !torch.vtensor<[512,128],f32>, !torch.vtensor<[128,8],f32> -> !torch.vtensor<[512,8],f32>
  "sparsebp.update"(%dup) {symbol = @up, mask = #sparsebp.mask<"range", "i", array<i64: 0, 8>>} : (!torch.vtensor<[512,8],f32>) -> ()
  %loss = torch.aten.sum %h, %none : !torch.vtensor<[128,512],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss : !torch.vtensor<[],f32>
}

// -----

// The gradient of a layer's input is one exchange; the gradients of the weights none.
// CHECK: sparsebp.part = array<i64: 0, 1, 2>, sym_name = "first", type = tensor<256x64xf32>
// CHECK: sparsebp.part = array<i64: 1, 1, 2>, sym_name = "second", type = tensor<64x256xf32>
// CHECK-LABEL: func.func @step
// CHECK: %[[Y:.*]] = torch.aten.mm %{{.*}} -> !torch.vtensor<[128,64],f32>
// CHECK: %[[DH:.*]] = torch.aten.mm %arg1, %{{.*}} -> !torch.vtensor<[128,256],f32>
// CHECK: %[[DX:.*]] = torch.aten.mm %[[DH]], %{{.*}} -> !torch.vtensor<[128,64],f32>
// CHECK: %[[DW:.*]] = torch.aten.mm %{{.*}} -> !torch.vtensor<[64,256],f32>
// CHECK: "sparsebp.update"(%[[DW]])
// CHECK: %[[SY:.*]] = "sparsebp.all_reduce"(%[[Y]])
// CHECK: %[[SDX:.*]] = "sparsebp.all_reduce"(%[[DX]])
// CHECK-NOT: sparsebp.all_reduce
// CHECK: return %[[SY]], %[[SDX]]
"sparsebp.parameter"() {sym_name = "first", type = tensor<512x64xf32>, role = "parameter", dimensions = ["o", "i"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "second", type = tensor<64x512xf32>, role = "parameter", dimensions = ["o", "i"], mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,64],f32>, %dy: !torch.vtensor<[128,64],f32>) -> (!torch.vtensor<[128,64],f32>, !torch.vtensor<[128,64],f32>) {
  %w = "sparsebp.read"() {symbol = @first} : () -> !torch.vtensor<[512,64],f32>
  %v = "sparsebp.read"() {symbol = @second} : () -> !torch.vtensor<[64,512],f32>
  %wt = torch.aten.t %w : !torch.vtensor<[512,64],f32> -> !torch.vtensor<[64,512],f32>
  %vt = torch.aten.t %v : !torch.vtensor<[64,512],f32> -> !torch.vtensor<[512,64],f32>
  %h = torch.aten.mm %x, %wt : !torch.vtensor<[128,64],f32>, !torch.vtensor<[64,512],f32> -> !torch.vtensor<[128,512],f32>
  %y = torch.aten.mm %h, %vt : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,64],f32> -> !torch.vtensor<[128,64],f32>
  %dh = torch.aten.mm %dy, %v : !torch.vtensor<[128,64],f32>, !torch.vtensor<[64,512],f32> -> !torch.vtensor<[128,512],f32>
  %dx = torch.aten.mm %dh, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,64],f32> -> !torch.vtensor<[128,64],f32>
  %dyt = torch.aten.t %dy : !torch.vtensor<[128,64],f32> -> !torch.vtensor<[64,128],f32>
  %dv = torch.aten.mm %dyt, %h : !torch.vtensor<[64,128],f32>, !torch.vtensor<[128,512],f32> -> !torch.vtensor<[64,512],f32>
  "sparsebp.update"(%dv) {symbol = @second, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[64,512],f32>) -> ()
  return %y, %dx : !torch.vtensor<[128,64],f32>, !torch.vtensor<[128,64],f32>
}

// -----

// A parameter of which two parts are used stays whole, and each is a slice of it.
// CHECK-NOT: sparsebp.part
// CHECK: sym_name = "w", type = tensor<512x512xf32>
// CHECK-LABEL: func.func @step
// CHECK: %[[W:.*]] = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[512,512],f32>
// CHECK: %[[UP:.*]] = torch.aten.slice.Tensor %[[W]], %int1, %int0, %int256, %int1 {{.*}} -> !torch.vtensor<[512,256],f32>
// CHECK: torch.aten.mm %arg0, %[[UP]]
// CHECK: %[[DOWN:.*]] = torch.aten.slice.Tensor %[[W]], %int0, %int0, %int256, %int1 {{.*}} -> !torch.vtensor<[256,512],f32>
// CHECK: %[[S:.*]] = torch.aten.mm %{{.*}}, %[[DOWN]]
// CHECK: "sparsebp.all_reduce"(%[[S]])
// SECOND: torch.aten.slice.Tensor %{{.*}}, %int1, %int256, %int512, %int1 {{.*}} -> !torch.vtensor<[512,256],f32>
// SECOND: torch.aten.slice.Tensor %{{.*}}, %int0, %int256, %int512, %int1 {{.*}} -> !torch.vtensor<[256,512],f32>
"sparsebp.parameter"() {sym_name = "w", type = tensor<512x512xf32>, role = "parameter", dimensions = ["i", "o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,512],f32>) -> !torch.vtensor<[128,512],f32> {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[512,512],f32>
  %h = torch.aten.mm %x, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,512],f32> -> !torch.vtensor<[128,512],f32>
  %r = torch.aten.relu %h : !torch.vtensor<[128,512],f32> -> !torch.vtensor<[128,512],f32>
  %y = torch.aten.mm %r, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,512],f32> -> !torch.vtensor<[128,512],f32>
  return %y : !torch.vtensor<[128,512],f32>
}

// -----

// Truth values are not exchanged: what is needed of them whole is computed once more, of sums.
// CHECK-LABEL: func.func @step
// CHECK: %[[OWN:.*]] = torch.aten.constant_pad_nd
// CHECK: %[[ALL:.*]] = "sparsebp.all_reduce"(%[[OWN]])
// CHECK: %[[Y:.*]] = torch.aten.gt.Scalar %[[ALL]], {{.*}} -> !torch.vtensor<[128,512],i1>
// CHECK: return %[[Y]]
"sparsebp.parameter"() {sym_name = "w", type = tensor<512x512xf32>, role = "parameter", dimensions = ["i", "o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,512],f32>) -> !torch.vtensor<[128,512],i1> {
  %0 = torch.constant.int 0
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[512,512],f32>
  %h = torch.aten.mm %x, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,512],f32> -> !torch.vtensor<[128,512],f32>
  %y = torch.aten.gt.Scalar %h, %0 : !torch.vtensor<[128,512],f32>, !torch.int -> !torch.vtensor<[128,512],i1>
  return %y : !torch.vtensor<[128,512],i1>
}
