// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-layout)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-convert-layout,sparsebp-convert-layout)' | filecheck %s

// A convolution's input is permuted, its weight is not, and its bias is added to what it gives.
// CHECK-LABEL: func.func @convolution
// CHECK: %[[TO_LAST:.*]] = torch.prim.ListConstruct %int0, %int2, %int3, %int1 :
// CHECK: %[[X:.*]] = torch.aten.permute %arg0, %[[TO_LAST]]
// CHECK-NEXT: %[[Y:.*]] = "sparsebp.convolution"(%[[X]], %arg1) {channels_last, dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 1, 0>, stride = array<i64: 2, 1>} : (!torch.vtensor<[2,9,7,4],f32>, !torch.vtensor<[6,2,3,1],f32>) -> !torch.vtensor<[2,5,7,6],f32>
// CHECK-NEXT: %[[SUM:.*]] = torch.aten.add.Tensor %[[Y]], %arg2, %int1 : !torch.vtensor<[2,5,7,6],f32>, !torch.vtensor<[6],f32>
// CHECK: %[[TO_FIRST:.*]] = torch.prim.ListConstruct %int0, %int3, %int1, %int2 :
// CHECK: %[[BACK:.*]] = torch.aten.permute %[[SUM]], %[[TO_FIRST]] : !torch.vtensor<[2,5,7,6],f32>, !torch.list<int> -> !torch.vtensor<[2,6,5,7],f32>
// CHECK: return %[[BACK]]
func.func @convolution(%x: !torch.vtensor<[2,4,9,7],f32>, %w: !torch.vtensor<[6,2,3,1],f32>, %b: !torch.vtensor<[6],f32>) -> !torch.vtensor<[2,6,5,7],f32> {
  %false = torch.constant.bool false
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %s = torch.prim.ListConstruct %2, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %p = torch.prim.ListConstruct %1, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  // One number stands for all dimensions.
  %d = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %o = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %b, %s, %p, %d, %false, %o, %2 : !torch.vtensor<[2,4,9,7],f32>, !torch.vtensor<[6,2,3,1],f32>, !torch.vtensor<[6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,5,7],f32>
  return %y : !torch.vtensor<[2,6,5,7],f32>
}

// -----

// Over one dimension, without a bias.
// CHECK-LABEL: func.func @one_dimension
// CHECK: "sparsebp.convolution"(%{{.*}}, %arg1) {channels_last, dilation = array<i64: 1>, groups = 1 : i64, padding = array<i64: 0>, stride = array<i64: 1>} : (!torch.vtensor<[2,6,3],f32>, !torch.vtensor<[4,3,1],f32>) -> !torch.vtensor<[2,6,4],f32>
// CHECK-NOT: torch.aten.add
func.func @one_dimension(%x: !torch.vtensor<[2,3,6],f32>, %w: !torch.vtensor<[4,3,1],f32>) -> !torch.vtensor<[2,4,6],f32> {
  %false = torch.constant.bool false
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %s = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %p = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %d = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %o = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %s, %p, %d, %false, %o, %1 : !torch.vtensor<[2,3,6],f32>, !torch.vtensor<[4,3,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,6],f32>
  return %y : !torch.vtensor<[2,4,6],f32>
}

// -----

// Over three.
// CHECK-LABEL: func.func @three_dimensions
// CHECK: "sparsebp.convolution"(%{{.*}}, %arg1) {channels_last, dilation = array<i64: 1, 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0>, stride = array<i64: 1, 1, 1>} : (!torch.vtensor<[2,6,5,4,3],f32>, !torch.vtensor<[4,3,1,1,1],f32>) -> !torch.vtensor<[2,6,5,4,4],f32>
// CHECK-NOT: torch.aten.add
func.func @three_dimensions(%x: !torch.vtensor<[2,3,6,5,4],f32>, %w: !torch.vtensor<[4,3,1,1,1],f32>) -> !torch.vtensor<[2,4,6,5,4],f32> {
  %false = torch.constant.bool false
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %s = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %p = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %d = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %o = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %s, %p, %d, %false, %o, %1 : !torch.vtensor<[2,3,6,5,4],f32>, !torch.vtensor<[4,3,1,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,6,5,4],f32>
  return %y : !torch.vtensor<[2,4,6,5,4],f32>
}

// -----

// A transposed convolution that is no operation of the dialect yet stays, as does one of an image without a batch.
// CHECK-LABEL: func.func @stays
// CHECK: %[[Y:.*]] = torch.aten.convolution %arg0
// CHECK: %[[Z:.*]] = torch.aten.convolution %arg2
// CHECK: return %[[Y]], %[[Z]]
func.func @stays(%x: !torch.vtensor<[1,4,8],f32>, %w: !torch.vtensor<[4,2,3],f32>, %u: !torch.vtensor<[4,8],f32>) -> (!torch.vtensor<[1,2,10],f32>, !torch.vtensor<[2,6],f32>) {
  %none = torch.constant.none
  %true = torch.constant.bool true
  %false = torch.constant.bool false
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %l = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %o = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %l, %o, %l, %true, %o, %1 : !torch.vtensor<[1,4,8],f32>, !torch.vtensor<[4,2,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[1,2,10],f32>
  %2 = torch.constant.int 2
  %r = torch.prim.ListConstruct %1, %0, %2 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %v = torch.aten.permute %w, %r : !torch.vtensor<[4,2,3],f32>, !torch.list<int> -> !torch.vtensor<[2,4,3],f32>
  %z = torch.aten.convolution %u, %v, %none, %l, %o, %l, %false, %o, %1 : !torch.vtensor<[4,8],f32>, !torch.vtensor<[2,4,3],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6],f32>
  return %y, %z : !torch.vtensor<[1,2,10],f32>, !torch.vtensor<[2,6],f32>
}

// -----

// The gradients of a convolution: that of its input, which is also a transposed convolution, and that of its weight, which is PyTorch's.
// CHECK-LABEL: func.func @gradients
// CHECK: %[[X:.*]] = torch.aten.permute %arg1
// CHECK: %[[G:.*]] = torch.aten.permute %arg0
// CHECK: %[[I:.*]] = "sparsebp.conv_input_grad"(%[[G]], %arg2) {channels_last, dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,4,3,6],f32>, !torch.vtensor<[6,2,3,3],f32>) -> !torch.vtensor<[2,8,6,4],f32>
// CHECK: %[[BACK:.*]] = torch.aten.permute %[[I]]
// CHECK: %[[V:.*]] = "sparsebp.conv_weight_grad"(%[[G]], %[[X]]) {channels_last, {{.*}} : (!torch.vtensor<[2,4,3,6],f32>, !torch.vtensor<[2,8,6,4],f32>) -> !torch.vtensor<[6,2,3,3],f32>
// CHECK: return %[[BACK]], %[[V]]
func.func @gradients(%g: !torch.vtensor<[2,6,4,3],f32>, %x: !torch.vtensor<[2,4,8,6],f32>, %w: !torch.vtensor<[6,2,3,3],f32>) -> (!torch.vtensor<[2,4,8,6],f32>, !torch.vtensor<[6,2,3,3],f32>) {
  %i = "sparsebp.conv_input_grad"(%g, %w) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 2 : i64} : (!torch.vtensor<[2,6,4,3],f32>, !torch.vtensor<[6,2,3,3],f32>) -> !torch.vtensor<[2,4,8,6],f32>
  %v = "sparsebp.conv_weight_grad"(%g, %x) {stride = array<i64: 2, 2>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 2 : i64} : (!torch.vtensor<[2,6,4,3],f32>, !torch.vtensor<[2,4,8,6],f32>) -> !torch.vtensor<[6,2,3,3],f32>
  return %i, %v : !torch.vtensor<[2,4,8,6],f32>, !torch.vtensor<[6,2,3,3],f32>
}

// -----

// Max pooling and its gradient; positions in windows have channels last too.
// CHECK-LABEL: func.func @max_pool
// CHECK: "sparsebp.max_pool"(%[[X:.*]]) {channels_last, {{.*}} : (!torch.vtensor<[2,8,6,3],f32>) -> !torch.vtensor<[2,4,3,3],f32>
// CHECK: %[[A:.*]] = "sparsebp.max_pool_argmax"(%[[X]]) {channels_last, {{.*}} -> !torch.vtensor<[2,4,3,3],si32>
// CHECK: "sparsebp.max_pool_grad"(%{{.*}}, %[[A]]) {channels_last, {{.*}} -> !torch.vtensor<[2,8,6,3],f32>
func.func @max_pool(%x: !torch.vtensor<[2,3,8,6],f32>, %g: !torch.vtensor<[2,3,4,3],f32>) -> (!torch.vtensor<[2,3,4,3],f32>, !torch.vtensor<[2,3,8,6],f32>) {
  %y = "sparsebp.max_pool"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,6],f32>) -> !torch.vtensor<[2,3,4,3],f32>
  %a = "sparsebp.max_pool_argmax"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,8,6],f32>) -> !torch.vtensor<[2,3,4,3],si32>
  %d = "sparsebp.max_pool_grad"(%g, %a) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,3],f32>, !torch.vtensor<[2,3,4,3],si32>) -> !torch.vtensor<[2,3,8,6],f32>
  return %y, %d : !torch.vtensor<[2,3,4,3],f32>, !torch.vtensor<[2,3,8,6],f32>
}

// -----

// Average pooling; without a stride it is the kernel's size.
// CHECK-LABEL: func.func @avg_pool
// CHECK: "sparsebp.avg_pool"(%[[X:.*]]) {channels_last, count_include_pad = true, divisor_override = 5 : i64, kernel = array<i64: 2, 2>, padding = array<i64: 0, 0>, stride = array<i64: 2, 2>} : (!torch.vtensor<[2,8,6,3],f32>) -> !torch.vtensor<[2,4,3,3],f32>
// CHECK: "sparsebp.avg_pool"(%[[X]]) {channels_last, count_include_pad = false, divisor_override = 0 : i64, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>}
func.func @avg_pool(%x: !torch.vtensor<[2,3,8,6],f32>) -> (!torch.vtensor<[2,3,4,3],f32>, !torch.vtensor<[2,3,4,3],f32>) {
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %5 = torch.constant.int 5
  %k = torch.prim.ListConstruct %2 : (!torch.int) -> !torch.list<int>
  %s = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %z = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %e = torch.prim.ListConstruct  : () -> !torch.list<int>
  %o = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %t = torch.prim.ListConstruct %3 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.avg_pool2d %x, %k, %e, %z, %false, %true, %5 : !torch.vtensor<[2,3,8,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.bool, !torch.int -> !torch.vtensor<[2,3,4,3],f32>
  %u = torch.aten.avg_pool2d %x, %t, %s, %o, %false, %false, %none : !torch.vtensor<[2,3,8,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.bool, !torch.none -> !torch.vtensor<[2,3,4,3],f32>
  return %y, %u : !torch.vtensor<[2,3,4,3],f32>, !torch.vtensor<[2,3,4,3],f32>
}

// -----

// Over one dimension, where there is no other divisor; and its gradient.
// CHECK-LABEL: func.func @avg_pool_1d
// CHECK: "sparsebp.avg_pool"(%{{.*}}) {channels_last, count_include_pad = true, divisor_override = 0 : i64, kernel = array<i64: 2>, padding = array<i64: 0>, stride = array<i64: 2>} : (!torch.vtensor<[2,8,3],f32>) -> !torch.vtensor<[2,4,3],f32>
// CHECK: "sparsebp.avg_pool_grad"(%{{.*}}) {channels_last, {{.*}} : (!torch.vtensor<[2,4,3],f32>) -> !torch.vtensor<[2,8,3],f32>
func.func @avg_pool_1d(%x: !torch.vtensor<[2,3,8],f32>, %g: !torch.vtensor<[2,3,4],f32>) -> (!torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3,8],f32>) {
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %0 = torch.constant.int 0
  %2 = torch.constant.int 2
  %k = torch.prim.ListConstruct %2 : (!torch.int) -> !torch.list<int>
  %z = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.avg_pool1d %x, %k, %k, %z, %false, %true : !torch.vtensor<[2,3,8],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.bool -> !torch.vtensor<[2,3,4],f32>
  %d = "sparsebp.avg_pool_grad"(%g) {kernel = array<i64: 2>, stride = array<i64: 2>, padding = array<i64: 0>, count_include_pad = true, divisor_override = 0 : i64} : (!torch.vtensor<[2,3,4],f32>) -> !torch.vtensor<[2,3,8],f32>
  return %y, %d : !torch.vtensor<[2,3,4],f32>, !torch.vtensor<[2,3,8],f32>
}

// -----

// Arithmetic follows; what it broadcasts is viewed, since there is one position or one channel, or permuted.
// CHECK-LABEL: func.func @elementwise
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[R:.*]] = torch.aten.relu %[[P]] : !torch.vtensor<[2,4,5,3],f32>
// CHECK: torch.aten.mul.Tensor %[[R]], %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[1,1,1,3],f32>
// CHECK: torch.aten.mul.Tensor %{{.*}}, %{{.*}} : !torch.vtensor<[1,1,1,3],f32>, !torch.vtensor<[2,4,5,3],f32>
// CHECK: torch.aten.add.Tensor %{{.*}}, %arg3, %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[],f32>
// CHECK: torch.aten.view %arg4
// CHECK: torch.aten.mul.Tensor %{{.*}}, %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[1,4,5,1],f32>
// CHECK: torch.aten.permute %{{.*}} : !torch.vtensor<[1,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[1,4,5,3],f32>
// CHECK: torch.aten.mul.Tensor %{{.*}}, %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[1,4,5,3],f32>
// CHECK: torch.aten.gt.Tensor %{{.*}}, %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[2,4,5,3],f32> -> !torch.vtensor<[2,4,5,3],i1>
func.func @elementwise(%x: !torch.vtensor<[2,3,4,5],f32>, %c: !torch.vtensor<[3,1,1],f32>, %d: !torch.vtensor<[1,3,1,1],f32>, %s: !torch.vtensor<[],f32>, %h: !torch.vtensor<[4,5],f32>, %i: !torch.vtensor<[3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],i1> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %1 = torch.constant.int 1
  %r = torch.aten.relu %p : !torch.vtensor<[2,3,4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %2 = torch.aten.mul.Tensor %r, %c : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[3,1,1],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %3 = torch.aten.mul.Tensor %d, %2 : !torch.vtensor<[1,3,1,1],f32>, !torch.vtensor<[2,3,4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %4 = torch.aten.add.Tensor %3, %s, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[],f32>, !torch.int -> !torch.vtensor<[2,3,4,5],f32>
  %5 = torch.aten.mul.Tensor %4, %h : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %6 = torch.aten.mul.Tensor %5, %i : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[3,4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %7 = torch.aten.gt.Tensor %6, %x : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32> -> !torch.vtensor<[2,3,4,5],i1>
  return %7 : !torch.vtensor<[2,3,4,5],i1>
}

// -----

// Arithmetic with more dimensions is that of something else, and takes PyTorch's layout.
// CHECK-LABEL: func.func @more_dimensions
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[F:.*]] = torch.aten.permute %[[P]]
// CHECK: torch.aten.mul.Tensor %[[F]], %arg1
func.func @more_dimensions(%x: !torch.vtensor<[2,3,4,5],f32>, %v: !torch.vtensor<[7,2,3,4,5],f32>) -> !torch.vtensor<[7,2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %y = torch.aten.mul.Tensor %p, %v : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[7,2,3,4,5],f32> -> !torch.vtensor<[7,2,3,4,5],f32>
  return %y : !torch.vtensor<[7,2,3,4,5],f32>
}

// -----

// What is not known with channels last takes PyTorch's layout, once for all; what is there in both is not permuted back.
// CHECK-LABEL: func.func @unknown
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[F:.*]] = torch.aten.permute %[[P]]
// CHECK: torch.aten.flip %[[F]]
// CHECK: torch.aten.flip %arg0
// CHECK-NOT: torch.aten.permute
// CHECK: return %[[F]],
func.func @unknown(%x: !torch.vtensor<[2,3,4,5],f32>) -> (!torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %3 = torch.constant.int 3
  %l = torch.prim.ListConstruct %3 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.flip %p, %l : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,3,4,5],f32>
  %z = torch.aten.flip %x, %l : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,3,4,5],f32>
  return %p, %y, %z : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>
}

// -----

// Reductions of some dimensions; what is left comes in PyTorch's order.
// CHECK-LABEL: func.func @reductions
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[HW:.*]] = torch.prim.ListConstruct %int1, %int2 :
// CHECK: %[[A:.*]] = torch.aten.sum.dim_IntList %[[P]], %[[HW]], %false, %none : {{.*}} -> !torch.vtensor<[2,3],f32>
// CHECK: %[[NW:.*]] = torch.prim.ListConstruct %int0, %int2 :
// CHECK: %[[HC:.*]] = torch.aten.sum.dim_IntList %[[P]], %[[NW]], %false, %none : {{.*}} -> !torch.vtensor<[4,3],f32>
// CHECK: %[[B:.*]] = torch.aten.permute %[[HC]], %{{.*}} -> !torch.vtensor<[3,4],f32>
// CHECK: %[[HWC:.*]] = torch.aten.sum.dim_IntList %[[P]], %{{.*}}, %false, %none : {{.*}} -> !torch.vtensor<[4,5,3],f32>
// CHECK: %[[CHW:.*]] = torch.prim.ListConstruct %int2, %int0, %int1 :
// CHECK: %[[C:.*]] = torch.aten.permute %[[HWC]], %[[CHW]] : {{.*}} -> !torch.vtensor<[3,4,5],f32>
// CHECK: %[[LAST:.*]] = torch.prim.ListConstruct %int3 :
// CHECK: %[[DL:.*]] = torch.aten.sum.dim_IntList %[[P]], %[[LAST]], %true, %none : {{.*}} -> !torch.vtensor<[2,4,5,1],f32>
// CHECK: %[[D:.*]] = torch.aten.view %[[DL]]
// CHECK: %[[E:.*]] = torch.aten.mean %[[P]]
// CHECK: %[[FL:.*]] = torch.aten.amax %[[P]], %[[HW]], %true : {{.*}} -> !torch.vtensor<[2,1,1,3],f32>
// CHECK: %[[F:.*]] = torch.aten.view %[[FL]]
// CHECK: return %[[A]], %[[B]], %[[C]], %[[D]], %[[E]], %[[F]]
func.func @reductions(%x: !torch.vtensor<[2,3,4,5],f32>) -> (!torch.vtensor<[2,3],f32>, !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,4,5],f32>, !torch.vtensor<[2,1,4,5],f32>, !torch.vtensor<[],f32>, !torch.vtensor<[2,3,1,1],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %none = torch.constant.none
  %m1 = torch.constant.int -1
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %la = torch.prim.ListConstruct %2, %3 : (!torch.int, !torch.int) -> !torch.list<int>
  %lb = torch.prim.ListConstruct %0, %m1 : (!torch.int, !torch.int) -> !torch.list<int>
  %lc = torch.prim.ListConstruct %0 : (!torch.int) -> !torch.list<int>
  %ld = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %a = torch.aten.sum.dim_IntList %p, %la, %false, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2,3],f32>
  %b = torch.aten.sum.dim_IntList %p, %lb, %false, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[3,4],f32>
  %c = torch.aten.sum.dim_IntList %p, %lc, %false, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[3,4,5],f32>
  %d = torch.aten.sum.dim_IntList %p, %ld, %true, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[2,1,4,5],f32>
  %e = torch.aten.mean %p, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.none -> !torch.vtensor<[],f32>
  %f = torch.aten.amax %p, %la, %true : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,1,1],f32>
  return %a, %b, %c, %d, %e, %f : !torch.vtensor<[2,3],f32>, !torch.vtensor<[3,4],f32>, !torch.vtensor<[3,4,5],f32>, !torch.vtensor<[2,1,4,5],f32>, !torch.vtensor<[],f32>, !torch.vtensor<[2,3,1,1],f32>
}

// -----

// What is spread over positions, and arithmetic with it, is so at once with channels last, for an operation that wants them there.
// CHECK-LABEL: func.func @spread
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[E:.*]] = torch.aten.expand %{{.*}} : !torch.vtensor<[2,1,1,3],f32>, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[H:.*]] = torch.aten.div.Scalar %[[E]], %int5 : !torch.vtensor<[2,4,5,3],f32>
// CHECK: torch.aten.add.Tensor %[[H]], %[[P]]
func.func @spread(%x: !torch.vtensor<[2,3,4,5],f32>, %s: !torch.vtensor<[2,3,1,1],f32>) -> !torch.vtensor<[2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %false = torch.constant.bool false
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %4 = torch.constant.int 4
  %5 = torch.constant.int 5
  %l = torch.prim.ListConstruct %2, %3, %4, %5 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %e = torch.aten.expand %s, %l, %false : !torch.vtensor<[2,3,1,1],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,4,5],f32>
  %h = torch.aten.div.Scalar %e, %5 : !torch.vtensor<[2,3,4,5],f32>, !torch.int -> !torch.vtensor<[2,3,4,5],f32>
  %y = torch.aten.add.Tensor %h, %p, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>, !torch.int -> !torch.vtensor<[2,3,4,5],f32>
  return %y : !torch.vtensor<[2,3,4,5],f32>
}

// -----

// So are constants of the shape of something.
// CHECK-LABEL: func.func @fill
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[V:.*]] = torch.aten.view %arg1, %{{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[E:.*]] = torch.aten.full_like %[[V]], %{{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: torch.aten.add.Tensor %[[E]], %[[P]]
func.func @fill(%x: !torch.vtensor<[2,3,4,5],f32>, %s: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %false = torch.constant.bool false
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %e = torch.aten.full_like %s, %0, %none, %none, %none, %false, %none : !torch.vtensor<[2,3,4,5],f32>, !torch.int, !torch.none, !torch.none, !torch.none, !torch.bool, !torch.none -> !torch.vtensor<[2,3,4,5],f32>
  %y = torch.aten.add.Tensor %e, %p, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>, !torch.int -> !torch.vtensor<[2,3,4,5],f32>
  return %y : !torch.vtensor<[2,3,4,5],f32>
}

// -----

// What is spread where nobody wants channels last keeps its layout.
// CHECK-LABEL: func.func @spread_for_itself
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[E:.*]] = torch.aten.expand %arg1
// CHECK: torch.aten.neg %[[E]] : !torch.vtensor<[2,3,4,5],f32>
func.func @spread_for_itself(%x: !torch.vtensor<[2,3,4,5],f32>, %s: !torch.vtensor<[2,3,1,1],f32>) -> (!torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %false = torch.constant.bool false
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %4 = torch.constant.int 4
  %5 = torch.constant.int 5
  %l = torch.prim.ListConstruct %2, %3, %4, %5 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %e = torch.aten.expand %s, %l, %false : !torch.vtensor<[2,3,1,1],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,4,5],f32>
  %h = torch.aten.neg %e : !torch.vtensor<[2,3,4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  return %h, %p : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>
}

// -----

// What spreads a result that has channels last follows.
// CHECK-LABEL: func.func @expand
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[R:.*]] = torch.aten.amax %[[P]], {{.*}} -> !torch.vtensor<[2,4,5,1],f32>
// CHECK: %[[E:.*]] = torch.aten.expand %[[R]], {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: torch.aten.relu %[[E]]
func.func @expand(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %none = torch.constant.none
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %4 = torch.constant.int 4
  %5 = torch.constant.int 5
  %l = torch.prim.ListConstruct %2, %3, %4, %5 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %k = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %r = torch.aten.amax %p, %k, %true : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,1,4,5],f32>
  %e = torch.aten.expand %r, %l, %false : !torch.vtensor<[2,1,4,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,4,5],f32>
  %y = torch.aten.relu %e : !torch.vtensor<[2,3,4,5],f32> -> !torch.vtensor<[2,3,4,5],f32>
  return %y : !torch.vtensor<[2,3,4,5],f32>
}

// -----

// Images are concatenated along channels, or positions, of which some may have to be permuted for it; a list of equal types has a type that says so.
// CHECK-LABEL: func.func @cat
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[L:.*]] = torch.prim.ListConstruct %[[P]], %[[Z:.*]] : (!torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[2,4,5,2],f32>) -> !torch.list<vtensor>
// CHECK: torch.aten.cat %[[L]], %int3 : {{.*}} -> !torch.vtensor<[2,4,5,5],f32>
// CHECK: %[[M:.*]] = torch.prim.ListConstruct %[[P]], %[[P]] : {{.*}} -> !torch.list<vtensor<[2,4,5,3],f32>>
// CHECK: torch.aten.cat %[[M]], %int1 : {{.*}} -> !torch.vtensor<[2,8,5,3],f32>
func.func @cat(%x: !torch.vtensor<[2,3,4,5],f32>, %z: !torch.vtensor<[2,2,4,5],f32>) -> (!torch.vtensor<[2,5,4,5],f32>, !torch.vtensor<[2,3,8,5],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %l = torch.prim.ListConstruct %p, %z : (!torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,2,4,5],f32>) -> !torch.list<vtensor>
  %y = torch.aten.cat %l, %1 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,5,4,5],f32>
  %m = torch.prim.ListConstruct %p, %p : (!torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>) -> !torch.list<vtensor<[2,3,4,5],f32>>
  %w = torch.aten.cat %m, %2 : !torch.list<vtensor<[2,3,4,5],f32>>, !torch.int -> !torch.vtensor<[2,3,8,5],f32>
  return %y, %w : !torch.vtensor<[2,5,4,5],f32>, !torch.vtensor<[2,3,8,5],f32>
}

// -----

// Lists for anything else have PyTorch's layout.
// CHECK-LABEL: func.func @list
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[F:.*]] = torch.aten.permute %[[P]]
// CHECK: %[[L:.*]] = torch.prim.ListConstruct %[[F]], %[[F]]
// CHECK: torch.aten.stack %[[L]]
func.func @list(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %0 = torch.constant.int 0
  %l = torch.prim.ListConstruct %p, %p : (!torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,3,4,5],f32>) -> !torch.list<vtensor>
  %y = torch.aten.stack %l, %0 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[2,2,3,4,5],f32>
  return %y : !torch.vtensor<[2,2,3,4,5],f32>
}

// -----

// Slices, of channels here, and what becomes of them in the backward pass.
// CHECK-LABEL: func.func @slice
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[Y:.*]] = torch.aten.slice.Tensor %[[P]], %int3, %int0, %int2, %int1 : {{.*}} -> !torch.vtensor<[2,4,5,2],f32>
// CHECK: torch.aten.slice_scatter %{{.*}}, %[[Y]], %int3, %int0, %int2, %int1 : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[2,4,5,2],f32>
func.func @slice(%x: !torch.vtensor<[2,3,4,5],f32>, %z: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %m3 = torch.constant.int -3
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %y = torch.aten.slice.Tensor %p, %m3, %0, %2, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,2,4,5],f32>
  %w = torch.aten.slice_scatter %z, %y, %1, %0, %2, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[2,2,4,5],f32>, !torch.int, !torch.int, !torch.int, !torch.int -> !torch.vtensor<[2,3,4,5],f32>
  return %w : !torch.vtensor<[2,3,4,5],f32>
}

// -----

// Parts of what is split are slices.
// CHECK-LABEL: func.func @split
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[Y:.*]] = torch.aten.slice.Tensor %[[P]], %int3, %int1, %int3, %int1 : {{.*}} -> !torch.vtensor<[2,4,5,2],f32>
// CHECK: torch.aten.relu %[[Y]]
// CHECK-NOT: split
func.func @split(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,2,4,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %l = torch.prim.ListConstruct %1, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %q = torch.aten.split_with_sizes %p, %l, %1 : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.int -> !torch.list<vtensor>
  %u:2 = torch.prim.ListUnpack %q : !torch.list<vtensor> -> !torch.vtensor<[2,1,4,5],f32>, !torch.vtensor<[2,2,4,5],f32>
  %y = torch.aten.relu %u#1 : !torch.vtensor<[2,2,4,5],f32> -> !torch.vtensor<[2,2,4,5],f32>
  return %y : !torch.vtensor<[2,2,4,5],f32>
}

// -----

// Channels are selected along the last dimension, positions along theirs.
// CHECK-LABEL: func.func @select_channels
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[C:.*]] = "sparsebp.select_channels"(%[[P]]) {axis = 3 : i64, mask = #sparsebp.mask<"list", "c", array<i64: 0, 2>>} : {{.*}} -> !torch.vtensor<[2,4,5,2],f32>
// CHECK: "sparsebp.select_channels"(%[[C]]) {axis = 1 : i64, {{.*}} -> !torch.vtensor<[2,3,5,2],f32>
func.func @select_channels(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,2,3,5],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %c = "sparsebp.select_channels"(%p) {axis = 1 : i64, mask = #sparsebp.mask<"list", "c", array<i64: 0, 2>>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,2,4,5],f32>
  %y = "sparsebp.select_channels"(%c) {axis = 2 : i64, mask = #sparsebp.mask<"range", "h", array<i64: 0, 3>>} : (!torch.vtensor<[2,2,4,5],f32>) -> !torch.vtensor<[2,2,3,5],f32>
  return %y : !torch.vtensor<[2,2,3,5],f32>
}

// -----

// Padding, which is listed from the last dimension and not for all.
// CHECK-LABEL: func.func @pad
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[L:.*]] = torch.prim.ListConstruct %int0, %int0, %int1, %int2, %int3, %int4, %int0, %int0 :
// CHECK: torch.aten.constant_pad_nd %[[P]], %[[L]], %{{.*}} -> !torch.vtensor<[2,11,8,3],f32>
// CHECK: %[[M:.*]] = torch.prim.ListConstruct %int6, %int4, %int1, %int1, %int2, %int2, %int0, %int0 :
// CHECK: torch.aten.constant_pad_nd %[[P]], %[[M]], %{{.*}} -> !torch.vtensor<[2,8,7,13],f32>
func.func @pad(%x: !torch.vtensor<[2,3,4,5],f32>) -> (!torch.vtensor<[2,3,11,8],f32>, !torch.vtensor<[2,13,8,7],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %f = torch.constant.float 0.0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %4 = torch.constant.int 4
  %6 = torch.constant.int 6
  %l = torch.prim.ListConstruct %1, %2, %3, %4 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %m = torch.prim.ListConstruct %1, %1, %2, %2, %6, %4 : (!torch.int, !torch.int, !torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.constant_pad_nd %p, %l, %f : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[2,3,11,8],f32>
  %z = torch.aten.constant_pad_nd %p, %m, %f : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[2,13,8,7],f32>
  return %y, %z : !torch.vtensor<[2,3,11,8],f32>, !torch.vtensor<[2,13,8,7],f32>
}

// -----

// A view of one position is one with channels last; that of a whole image needs PyTorch's layout; one that only regroups positions does not.
// CHECK-LABEL: func.func @view
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[F:.*]] = torch.aten.permute %[[P]]
// CHECK: %[[A:.*]] = torch.aten.amax %[[P]], {{.*}} -> !torch.vtensor<[2,1,1,3],f32>
// CHECK: torch.aten.view %[[A]], %{{.*}} -> !torch.vtensor<[2,3],f32>
// CHECK: torch.aten.view %[[F]], %{{.*}} -> !torch.vtensor<[2,60],f32>
// CHECK: %[[H:.*]] = torch.aten.view %[[P]], %{{.*}} -> !torch.vtensor<[2,20,3],f32>
// CHECK: torch.aten.relu %[[H]]
func.func @view(%x: !torch.vtensor<[2,3,4,5],f32>) -> (!torch.vtensor<[2,3],f32>, !torch.vtensor<[2,60],f32>, !torch.vtensor<[2,3,20],f32>) {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %true = torch.constant.bool true
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %4 = torch.constant.int 4
  %5 = torch.constant.int 5
  %20 = torch.constant.int 20
  %60 = torch.constant.int 60
  %l = torch.prim.ListConstruct %2, %3 : (!torch.int, !torch.int) -> !torch.list<int>
  %s = torch.prim.ListConstruct %2, %3 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = torch.prim.ListConstruct %2, %60 : (!torch.int, !torch.int) -> !torch.list<int>
  %g = torch.prim.ListConstruct %2, %3, %20 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %a = torch.aten.amax %p, %l, %true : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,3,1,1],f32>
  %y = torch.aten.view %a, %s : !torch.vtensor<[2,3,1,1],f32>, !torch.list<int> -> !torch.vtensor<[2,3],f32>
  %v = torch.aten.view %p, %w : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,60],f32>
  %h = torch.aten.view %p, %g : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,3,20],f32>
  %r = torch.aten.relu %h : !torch.vtensor<[2,3,20],f32> -> !torch.vtensor<[2,3,20],f32>
  return %y, %v, %r : !torch.vtensor<[2,3],f32>, !torch.vtensor<[2,60],f32>, !torch.vtensor<[2,3,20],f32>
}

// -----

// A permutation that brings the channels last is not needed, nor is that back, nor arithmetic in between in PyTorch's layout.
// CHECK-LABEL: func.func @permute
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK-NOT: torch.aten.permute
// CHECK: %[[E:.*]] = torch.aten.flip %[[P]]
// CHECK-NOT: torch.aten.permute
// CHECK: %[[S:.*]] = torch.aten.mul.Tensor %[[E]], %{{.*}} : !torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[1,1,1,3],f32>
// CHECK: %[[W:.*]] = "sparsebp.max_pool"(%[[S]])
// CHECK-NEXT: return %[[W]]
func.func @permute(%x: !torch.vtensor<[2,3,4,5],f32>, %c: !torch.vtensor<[3,1,1],f32>) -> !torch.vtensor<[2,4,5,3],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %l = torch.prim.ListConstruct %0, %2, %3, %1 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %m = torch.prim.ListConstruct %0, %3, %1, %2 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %f = torch.prim.ListConstruct %3 : (!torch.int) -> !torch.list<int>
  %y = torch.aten.permute %p, %l : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,4,5,3],f32>
  %e = torch.aten.flip %y, %f : !torch.vtensor<[2,4,5,3],f32>, !torch.list<int> -> !torch.vtensor<[2,4,5,3],f32>
  %z = torch.aten.permute %e, %m : !torch.vtensor<[2,4,5,3],f32>, !torch.list<int> -> !torch.vtensor<[2,3,4,5],f32>
  %s = torch.aten.mul.Tensor %z, %c : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[3,1,1],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %w = "sparsebp.max_pool"(%s) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %u = torch.aten.permute %w, %l : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,4,5,3],f32>
  return %u : !torch.vtensor<[2,4,5,3],f32>
}

// -----

// A transposition is a permutation: tokens of an image have their channels last already.
// CHECK-LABEL: func.func @tokens
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[Y:.*]] = torch.aten.view %[[P]], %{{.*}} -> !torch.vtensor<[2,20,3],f32>
// CHECK-NEXT: return %[[Y]]
func.func @tokens(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,20,3],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %20 = torch.constant.int 20
  %g = torch.prim.ListConstruct %2, %3, %20 : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %h = torch.aten.view %p, %g : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,3,20],f32>
  %y = torch.aten.transpose.int %h, %1, %2 : !torch.vtensor<[2,3,20],f32>, !torch.int, !torch.int -> !torch.vtensor<[2,20,3],f32>
  return %y : !torch.vtensor<[2,20,3],f32>
}

// -----

// Any other permutation begins with the channels last.
// CHECK-LABEL: func.func @other_permutation
// CHECK: %[[P:.*]] = "sparsebp.max_pool"(%{{.*}}) {channels_last, {{.*}} -> !torch.vtensor<[2,4,5,3],f32>
// CHECK: %[[O:.*]] = torch.prim.ListConstruct %int2, %int3, %int0, %int1 :
// CHECK: %[[Y:.*]] = torch.aten.permute %[[P]], %[[O]] : !torch.vtensor<[2,4,5,3],f32>
// CHECK: return %[[Y]]
func.func @other_permutation(%x: !torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[5,3,2,4],f32> {
  %p = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,3,4,5],f32>) -> !torch.vtensor<[2,3,4,5],f32>
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %l = torch.prim.ListConstruct %3, %1, %0, %2 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.permute %p, %l : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[5,3,2,4],f32>
  return %y : !torch.vtensor<[5,3,2,4],f32>
}

// -----

// What has channels last already stays as it is.
// CHECK-LABEL: func.func @stays_last
// CHECK-NEXT: %[[P:.*]] = "sparsebp.max_pool"(%arg0)
// CHECK-NEXT: %[[Y:.*]] = "sparsebp.convolution"(%[[P]], %arg1)
// CHECK-NEXT: return %[[Y]]
func.func @stays_last(%x: !torch.vtensor<[2,4,5,3],f32>, %w: !torch.vtensor<[4,3,1,1],f32>) -> !torch.vtensor<[2,4,5,4],f32> {
  %p = "sparsebp.max_pool"(%x) {channels_last, kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[2,4,5,3],f32>) -> !torch.vtensor<[2,4,5,3],f32>
  %y = "sparsebp.convolution"(%p, %w) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,5,3],f32>, !torch.vtensor<[4,3,1,1],f32>) -> !torch.vtensor<[2,4,5,4],f32>
  return %y : !torch.vtensor<[2,4,5,4],f32>
}

// -----

// Without convolutions and pools there is nothing to do.
// CHECK-LABEL: func.func @no_space
// CHECK: %[[Y:.*]] = torch.aten.mul.Tensor %arg0, %arg1 : !torch.vtensor<[2,3,4,5],f32>
// CHECK: %[[Z:.*]] = torch.aten.permute %[[Y]]
// CHECK-NEXT: %[[R:.*]] = torch.aten.relu %[[Z]]
// CHECK-NEXT: return %[[R]]
func.func @no_space(%x: !torch.vtensor<[2,3,4,5],f32>, %c: !torch.vtensor<[3,1,1],f32>) -> !torch.vtensor<[2,5,3,4],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %m = torch.prim.ListConstruct %0, %3, %1, %2 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.mul.Tensor %x, %c : !torch.vtensor<[2,3,4,5],f32>, !torch.vtensor<[3,1,1],f32> -> !torch.vtensor<[2,3,4,5],f32>
  %z = torch.aten.permute %y, %m : !torch.vtensor<[2,3,4,5],f32>, !torch.list<int> -> !torch.vtensor<[2,5,3,4],f32>
  %r = torch.aten.relu %z : !torch.vtensor<[2,5,3,4],f32> -> !torch.vtensor<[2,5,3,4],f32>
  return %r : !torch.vtensor<[2,5,3,4],f32>
}

// -----

// What a parameter is assigned is computed in its layout: only the gradient is permuted.
// CHECK-LABEL: func.func @update
// CHECK: %[[G:.*]] = torch.aten.relu %{{.*}} : !torch.vtensor<[1,4,5,3],f32>
// CHECK: %[[F:.*]] = torch.aten.permute %[[G]]
// CHECK: %[[R:.*]] = "sparsebp.read"
// CHECK-NEXT: %[[D:.*]] = torch.aten.mul.Tensor %[[F]], %arg1 : !torch.vtensor<[1,3,4,5],f32>
// CHECK-NEXT: torch.aten.sub.Tensor %[[R]], %[[D]], %{{.*}} : !torch.vtensor<[1,3,4,5],f32>
// CHECK: torch.aten.neg %[[G]] : !torch.vtensor<[1,4,5,3],f32>
"sparsebp.parameter"() {sym_name = "position", type = tensor<1x3x4x5xf32>, dimensions = ["n", "c", "h", "w"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
func.func @update(%x: !torch.vtensor<[1,3,4,5],f32>, %lr: !torch.vtensor<[],f32>) -> !torch.vtensor<[1,3,4,5],f32> {
  %1 = torch.constant.int 1
  %q = "sparsebp.max_pool"(%x) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,3,4,5],f32>) -> !torch.vtensor<[1,3,4,5],f32>
  %g = torch.aten.relu %q : !torch.vtensor<[1,3,4,5],f32> -> !torch.vtensor<[1,3,4,5],f32>
  %r = "sparsebp.read"() {symbol = @position} : () -> !torch.vtensor<[1,3,4,5],f32>
  %d = torch.aten.mul.Tensor %g, %lr : !torch.vtensor<[1,3,4,5],f32>, !torch.vtensor<[],f32> -> !torch.vtensor<[1,3,4,5],f32>
  %n = torch.aten.sub.Tensor %r, %d, %1 : !torch.vtensor<[1,3,4,5],f32>, !torch.vtensor<[1,3,4,5],f32>, !torch.int -> !torch.vtensor<[1,3,4,5],f32>
  "sparsebp.assign"(%n) {symbol = @position, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[1,3,4,5],f32>) -> ()
  %z = torch.aten.neg %g : !torch.vtensor<[1,3,4,5],f32> -> !torch.vtensor<[1,3,4,5],f32>
  %o = "sparsebp.max_pool"(%z) {kernel = array<i64: 1, 1>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>} : (!torch.vtensor<[1,3,4,5],f32>) -> !torch.vtensor<[1,3,4,5],f32>
  return %o : !torch.vtensor<[1,3,4,5],f32>
}
