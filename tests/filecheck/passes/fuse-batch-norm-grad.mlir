// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fuse-batch-norm-grad)' | filecheck %s

// The scale goes into the weight, and its gradient comes from the weight's: z is not needed.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %w: !torch.vtensor<[4,3,1,1],f32>, %g: !torch.vtensor<[2,4,8,8],f32>, %mean: !torch.vtensor<[1,4,1,1],f32>, %scale: !torch.vtensor<[1,4,1,1],f32>) -> (!torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,1,1],f32>, !torch.vtensor<[4],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  // CHECK-NOT: torch.aten.convolution
  // CHECK: %[[M:.*]] = torch.aten.view %arg3, %{{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[D:.*]] = "sparsebp.conv_weight_grad"(%arg2, %arg0)
  // CHECK: %[[P:.*]] = torch.aten.mul.Tensor %[[D]], %arg1
  // CHECK: %[[PS:.*]] = torch.aten.sum.dim_IntList %[[P]],
  // CHECK: %[[GS:.*]] = torch.aten.sum.dim_IntList %arg2,
  // CHECK: %[[GM:.*]] = torch.aten.mul.Tensor %[[GS]], %[[M]]
  // CHECK: %[[DS:.*]] = torch.aten.sub.Tensor %[[PS]], %[[GM]]
  // CHECK: %[[S:.*]] = torch.aten.view %arg4, %{{.*}} -> !torch.vtensor<[4,1,1,1],f32>
  // CHECK: %[[WS:.*]] = torch.aten.mul.Tensor %arg1, %[[S]]
  // CHECK: %[[DX:.*]] = "sparsebp.conv_input_grad"(%arg2, %[[WS]])
  // CHECK: %[[DW:.*]] = torch.aten.mul.Tensor %[[D]], %[[S]]
  // CHECK: return %[[DX]], %[[DW]], %[[DS]]
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %q = torch.aten.mul.Tensor %g, %c : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %ds = torch.aten.sum.dim_IntList %q, %dims, %false, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  %p = torch.aten.mul.Tensor %g, %scale : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %dx = "sparsebp.conv_input_grad"(%p, %w) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,3,1,1],f32>) -> !torch.vtensor<[2,3,8,8],f32>
  %dw = "sparsebp.conv_weight_grad"(%p, %x) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[4,3,1,1],f32>
  return %dx, %dw, %ds : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,1,1],f32>, !torch.vtensor<[4],f32>
}

// -----

// The bias of the convolution is part of what the mean is taken from.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,3,8,8],f32>, %w: !torch.vtensor<[4,3,1,1],f32>, %b: !torch.vtensor<[4],f32>, %g: !torch.vtensor<[2,4,8,8],f32>, %mean: !torch.vtensor<[1,4,1,1],f32>) -> (!torch.vtensor<[4,3,1,1],f32>, !torch.vtensor<[4],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[M:.*]] = torch.aten.view %arg4, %{{.*}} -> !torch.vtensor<[4],f32>
  // CHECK: %[[LESS:.*]] = torch.aten.sub.Tensor %[[M]], %arg2
  // CHECK: torch.aten.mul.Tensor %{{.*}}, %[[LESS]]
  %z = torch.aten.convolution %x, %w, %b, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[4,3,1,1],f32>, !torch.vtensor<[4],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %q = torch.aten.mul.Tensor %c, %g : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %ds = torch.aten.sum.dim_IntList %q, %dims, %false, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  %dw = "sparsebp.conv_weight_grad"(%g, %x) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>) -> !torch.vtensor<[4,3,1,1],f32>
  return %dw, %ds : !torch.vtensor<[4,3,1,1],f32>, !torch.vtensor<[4],f32>
}

// -----

// Of another convolution's weight, of some of its channels, or in 16 bits, nothing is known: all stays.
// CHECK-LABEL: func.func @step
func.func @step(%x: !torch.vtensor<[2,4,8,8],f32>, %w: !torch.vtensor<[4,4,1,1],f32>, %g: !torch.vtensor<[2,4,8,8],f32>, %h: !torch.vtensor<[2,4,8,8],f16>, %s: !torch.vtensor<[1,4,1,1],f16>, %v: !torch.vtensor<[4,4,1,1],f16>, %mean: !torch.vtensor<[1,4,1,1],f32>) -> (!torch.vtensor<[4],f32>, !torch.vtensor<[4,2,1,1],f32>, !torch.vtensor<[4,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f16>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %false = torch.constant.bool false
  %none = torch.constant.none
  %ones = torch.prim.ListConstruct %int1, %int1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %int0, %int0 : (!torch.int, !torch.int) -> !torch.list<int>
  %dims = torch.prim.ListConstruct %int0, %int2, %int3 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[Z:.*]] = torch.aten.convolution
  // CHECK: %[[C:.*]] = torch.aten.sub.Tensor %[[Z]], %arg6
  // CHECK: %[[Q:.*]] = torch.aten.mul.Tensor %arg2, %[[C]]
  // CHECK: torch.aten.sum.dim_IntList %[[Q]]
  // CHECK: %[[P:.*]] = torch.aten.mul.Tensor %arg3, %arg4
  // CHECK: "sparsebp.conv_input_grad"(%[[P]], %arg5)
  %z = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[4,4,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %c = torch.aten.sub.Tensor %z, %mean, %int1 : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[1,4,1,1],f32>, !torch.int -> !torch.vtensor<[2,4,8,8],f32>
  %q = torch.aten.mul.Tensor %g, %c : !torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32> -> !torch.vtensor<[2,4,8,8],f32>
  %ds = torch.aten.sum.dim_IntList %q, %dims, %false, %none : !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[4],f32>
  %half = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>} : (!torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,2,8,8],f32>
  %dw = "sparsebp.conv_weight_grad"(%g, %half) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,2,8,8],f32>) -> !torch.vtensor<[4,2,1,1],f32>
  %other = "sparsebp.conv_weight_grad"(%g, %g) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f32>, !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[4,4,1,1],f32>
  %p = torch.aten.mul.Tensor %h, %s : !torch.vtensor<[2,4,8,8],f16>, !torch.vtensor<[1,4,1,1],f16> -> !torch.vtensor<[2,4,8,8],f16>
  %dx = "sparsebp.conv_input_grad"(%p, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,8,8],f16>, !torch.vtensor<[4,4,1,1],f16>) -> !torch.vtensor<[2,4,8,8],f16>
  return %ds, %dw, %other, %dx : !torch.vtensor<[4],f32>, !torch.vtensor<[4,2,1,1],f32>, !torch.vtensor<[4,4,1,1],f32>, !torch.vtensor<[2,4,8,8],f16>
}

// -----

// A weight of more elements than the activation is not scaled: that would take longer.
// CHECK-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[1,8,2,2],f32>, %w: !torch.vtensor<[8,8,1,1],f32>, %scale: !torch.vtensor<[1,8,1,1],f32>) -> !torch.vtensor<[1,8,2,2],f32> {
  // CHECK: %[[P:.*]] = torch.aten.mul.Tensor %arg0, %arg2
  // CHECK: "sparsebp.conv_input_grad"(%[[P]], %arg1)
  %p = torch.aten.mul.Tensor %g, %scale : !torch.vtensor<[1,8,2,2],f32>, !torch.vtensor<[1,8,1,1],f32> -> !torch.vtensor<[1,8,2,2],f32>
  %dx = "sparsebp.conv_input_grad"(%p, %w) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[1,8,2,2],f32>, !torch.vtensor<[8,8,1,1],f32>) -> !torch.vtensor<[1,8,2,2],f32>
  return %dx : !torch.vtensor<[1,8,2,2],f32>
}
