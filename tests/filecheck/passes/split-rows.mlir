// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-rows{most=5120})' | filecheck %s

// 8192 bytes between two convolutions become two strips: of each, one more row is computed than comes out, and the
// padding is at the end where the image ends. What IREE would fuse, bias and residual, is part of a strip, and so is
// the permutation of an input.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[IMAGE:.*]]: !torch.vtensor<[1,4,8,8],f32>, %[[V:[^:]*]]: !torch.vtensor<[32,4,1,1],f32>, %[[W:[^:]*]]: !torch.vtensor<[32,1,3,3],f32>,
func.func @step(%image: !torch.vtensor<[1,4,8,8],f32>, %v: !torch.vtensor<[32,4,1,1],f32>, %w: !torch.vtensor<[32,1,3,3],f32>, %p: !torch.vtensor<[4,32,1,1],f32>, %bias: !torch.vtensor<[4],f32>, %skip: !torch.vtensor<[1,8,8,4],f32>) -> !torch.vtensor<[1,8,8,4],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %last = torch.prim.ListConstruct %0, %2, %3, %1 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %x = torch.aten.permute %image, %last : !torch.vtensor<[1,4,8,8],f32>, !torch.list<int> -> !torch.vtensor<[1,8,8,4],f32>
  // CHECK: %[[PART:.*]] = "sparsebp.select_channels"(%[[IMAGE]]) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 5>>} : (!torch.vtensor<[1,4,8,8],f32>) -> !torch.vtensor<[1,4,5,8],f32>
  // CHECK: %[[X:.*]] = torch.aten.permute %[[PART]], {{.*}} -> !torch.vtensor<[1,5,8,4],f32>
  // CHECK: %[[Y:.*]] = "sparsebp.convolution"(%[[X]], %[[V]]) {{.*}} -> !torch.vtensor<[1,5,8,32],f32>
  // CHECK: %[[R:.*]] = torch.aten.relu %[[Y]]
  // CHECK: %[[Z:.*]] = "sparsebp.convolution"(%[[R]], %[[W]]) {{.*}}padding = array<i64: 1, 1>, padding_high = array<i64: 0, 1>, stride = array<i64: 1, 1>} {{.*}} -> !torch.vtensor<[1,4,8,32],f32>
  // CHECK: %[[O:.*]] = "sparsebp.convolution"(%[[Z]], {{.*}} -> !torch.vtensor<[1,4,8,4],f32>
  // CHECK: %[[B:.*]] = torch.aten.add.Tensor %[[O]], %{{[^ ]*}}, %int1 : !torch.vtensor<[1,4,8,4],f32>, !torch.vtensor<[4],f32>
  // CHECK: %[[SKIP:.*]] = "sparsebp.select_channels"(%{{.*}}) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 4>>}
  // CHECK: %[[FIRST:.*]] = torch.aten.add.Tensor %[[B]], %[[SKIP]], %int1
  // CHECK: "sparsebp.select_channels"(%[[IMAGE]]) {axis = 2 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 3, 8>>}
  // CHECK: "sparsebp.convolution"({{.*}}) {{.*}}padding = array<i64: 0, 1>, padding_high = array<i64: 1, 1>, stride = array<i64: 1, 1>} {{.*}} -> !torch.vtensor<[1,4,8,32],f32>
  // CHECK: %[[SECOND:.*]] = torch.aten.add.Tensor
  // CHECK: %[[SECOND:.*]] = torch.aten.add.Tensor
  // CHECK: %[[STRIPS:.*]] = torch.prim.ListConstruct %[[FIRST]], %[[SECOND]] :
  // CHECK: %[[RESULT:.*]] = torch.aten.cat %[[STRIPS]], %int1{{.*}} -> !torch.vtensor<[1,8,8,4],f32>
  // CHECK: return %[[RESULT]]
  %y = "sparsebp.convolution"(%x, %v) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,8,8,4],f32>, !torch.vtensor<[32,4,1,1],f32>) -> !torch.vtensor<[1,8,8,32],f32>
  %r = torch.aten.relu %y : !torch.vtensor<[1,8,8,32],f32> -> !torch.vtensor<[1,8,8,32],f32>
  %z = "sparsebp.convolution"(%r, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 32 : i64} : (!torch.vtensor<[1,8,8,32],f32>, !torch.vtensor<[32,1,3,3],f32>) -> !torch.vtensor<[1,8,8,32],f32>
  %o = "sparsebp.convolution"(%z, %p) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,8,8,32],f32>, !torch.vtensor<[4,32,1,1],f32>) -> !torch.vtensor<[1,8,8,4],f32>
  %b = torch.aten.add.Tensor %o, %bias, %1 : !torch.vtensor<[1,8,8,4],f32>, !torch.vtensor<[4],f32>, !torch.int -> !torch.vtensor<[1,8,8,4],f32>
  %s = torch.aten.add.Tensor %b, %skip, %1 : !torch.vtensor<[1,8,8,4],f32>, !torch.vtensor<[1,8,8,4],f32>, !torch.int -> !torch.vtensor<[1,8,8,4],f32>
  return %s : !torch.vtensor<[1,8,8,4],f32>
}

// -----

// A stride, and padding behind only: each strip of four rows reads nine, the last eight and the padding.
// CHECK-LABEL: func.func @step
// CHECK: "sparsebp.select_channels"(%{{.*}}) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 0, 9>>}
// CHECK: "sparsebp.convolution"({{.*}}) {channels_last, dilation = array<i64: 1, 1>, groups = 16 : i64, padding = array<i64: 0, 0>, padding_high = array<i64: 0, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,9,8,16],f32>, {{.*}} -> !torch.vtensor<[1,4,4,16],f32>
// CHECK: "sparsebp.select_channels"(%{{.*}}) {axis = 1 : i64, mask = #sparsebp.mask<"range", "positions", array<i64: 8, 16>>}
// CHECK: "sparsebp.convolution"({{.*}}) {channels_last, dilation = array<i64: 1, 1>, groups = 16 : i64, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[1,8,8,16],f32>, {{.*}} -> !torch.vtensor<[1,4,4,16],f32>
func.func @step(%x: !torch.vtensor<[1,16,8,4],f32>, %v: !torch.vtensor<[16,4,1,1],f32>, %w: !torch.vtensor<[16,1,3,3],f32>) -> !torch.vtensor<[1,8,4,16],f32> {
  %y = "sparsebp.convolution"(%x, %v) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,16,8,4],f32>, !torch.vtensor<[16,4,1,1],f32>) -> !torch.vtensor<[1,16,8,16],f32>
  %z = "sparsebp.convolution"(%y, %w) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 16 : i64} : (!torch.vtensor<[1,16,8,16],f32>, !torch.vtensor<[16,1,3,3],f32>) -> !torch.vtensor<[1,8,4,16],f32>
  return %z : !torch.vtensor<[1,8,4,16],f32>
}

// -----

// What the backward pass takes is there as a whole, and so is what is read along its rows.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.select_channels
// CHECK-NOT: torch.aten.cat
func.func @step(%x: !torch.vtensor<[2,8,8,4],f32>, %v: !torch.vtensor<[16,4,1,1],f32>, %w: !torch.vtensor<[16,16,1,1],f32>, %g: !torch.vtensor<[2,8,8,16],f32>) -> (!torch.vtensor<[16,16,1,1],f32>, !torch.vtensor<[2,8,1,16],f32>) {
  %none = torch.constant.none
  %true = torch.constant.bool true
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %dims = torch.prim.ListConstruct %1, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = "sparsebp.convolution"(%x, %v) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,8,8,4],f32>, !torch.vtensor<[16,4,1,1],f32>) -> !torch.vtensor<[2,8,8,16],f32>
  %z = "sparsebp.convolution"(%y, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,8,8,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,8,8,16],f32>
  %dw = "sparsebp.conv_weight_grad"(%g, %y) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,8,8,16],f32>, !torch.vtensor<[2,8,8,16],f32>) -> !torch.vtensor<[16,16,1,1],f32>
  %list = torch.prim.ListConstruct %2 : (!torch.int) -> !torch.list<int>
  %m = torch.aten.mean.dim %z, %list, %true, %none : !torch.vtensor<[2,8,8,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2,8,1,16],f32>
  return %dw, %m : !torch.vtensor<[16,16,1,1],f32>, !torch.vtensor<[2,8,1,16],f32>
}

// -----

// Strips of a row would compute three rows for each: that is more than it saves. Nor is there a strip of seven rows.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.select_channels
// CHECK-NOT: torch.aten.cat
func.func @step(%x: !torch.vtensor<[1,4,32,32],f32>, %v: !torch.vtensor<[32,32,3,3],f32>, %w: !torch.vtensor<[32,32,3,3],f32>, %a: !torch.vtensor<[1,7,16,16],f32>, %b: !torch.vtensor<[16,16,1,1],f32>) -> (!torch.vtensor<[1,4,32,32],f32>, !torch.vtensor<[1,7,16,16],f32>) {
  %y = "sparsebp.convolution"(%x, %v) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,32,32],f32>, !torch.vtensor<[32,32,3,3],f32>) -> !torch.vtensor<[1,4,32,32],f32>
  %z = "sparsebp.convolution"(%y, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,4,32,32],f32>, !torch.vtensor<[32,32,3,3],f32>) -> !torch.vtensor<[1,4,32,32],f32>
  %c = "sparsebp.convolution"(%a, %b) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,7,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[1,7,16,16],f32>
  %d = "sparsebp.convolution"(%c, %b) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,7,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[1,7,16,16],f32>
  return %z, %d : !torch.vtensor<[1,4,32,32],f32>, !torch.vtensor<[1,7,16,16],f32>
}

// -----

// Two values come out of what activations of more than 5120 bytes have to do with: the one that is larger yet is divided.
// CHECK-LABEL: func.func @step
// CHECK-COUNT-4: "sparsebp.convolution"({{.*}} -> !torch.vtensor<[1,4,8,12],f32>
// CHECK: %[[S:.*]] = torch.aten.cat {{.*}} -> !torch.vtensor<[1,16,8,12],f32>
// CHECK: "sparsebp.convolution"(%[[S]]
// CHECK: torch.aten.relu %[[S]]
// CHECK-NOT: torch.aten.cat
func.func @step(%x: !torch.vtensor<[1,16,8,4],f32>, %v: !torch.vtensor<[32,4,1,1],f32>, %w: !torch.vtensor<[12,32,1,1],f32>, %u: !torch.vtensor<[4,12,1,1],f32>) -> (!torch.vtensor<[1,16,8,4],f32>, !torch.vtensor<[1,16,8,12],f32>) {
  %y = "sparsebp.convolution"(%x, %v) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,16,8,4],f32>, !torch.vtensor<[32,4,1,1],f32>) -> !torch.vtensor<[1,16,8,32],f32>
  %s = "sparsebp.convolution"(%y, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,16,8,32],f32>, !torch.vtensor<[12,32,1,1],f32>) -> !torch.vtensor<[1,16,8,12],f32>
  %t = "sparsebp.convolution"(%s, %u) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,16,8,12],f32>, !torch.vtensor<[4,12,1,1],f32>) -> !torch.vtensor<[1,16,8,4],f32>
  %r = torch.aten.relu %s : !torch.vtensor<[1,16,8,12],f32> -> !torch.vtensor<[1,16,8,12],f32>
  return %t, %r : !torch.vtensor<[1,16,8,4],f32>, !torch.vtensor<[1,16,8,12],f32>
}
