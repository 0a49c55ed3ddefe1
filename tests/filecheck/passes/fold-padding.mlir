// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fold-padding)' | filecheck %s

// Zeros behind rows and columns, which forward and backward pass read, and whose gradient is cropped away.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[X:.*]]: !torch.vtensor<[2,8,8,4],f32>, %[[W:[^:]*]]:
func.func @step(%x: !torch.vtensor<[2,8,8,4],f32>, %w: !torch.vtensor<[6,4,3,3],f32>, %g: !torch.vtensor<[2,4,4,6],f32>) -> (!torch.vtensor<[2,4,4,6],f32>, !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[2,8,8,4],f32>) {
  %zero = torch.constant.float 0.0
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %minus = torch.constant.int -1
  %pads = torch.prim.ListConstruct %0, %0, %0, %1, %0, %1 : (!torch.int, !torch.int, !torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %crop = torch.prim.ListConstruct %0, %0, %0, %minus, %0, %minus : (!torch.int, !torch.int, !torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  // CHECK-NOT: constant_pad_nd
  %p = torch.aten.constant_pad_nd %x, %pads, %zero : !torch.vtensor<[2,8,8,4],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[2,9,9,4],f32>
  // CHECK: %[[Y:.*]] = "sparsebp.convolution"(%[[X]], %[[W]]) {channels_last, dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>, stride = array<i64: 2, 2>}
  %y = "sparsebp.convolution"(%p, %w) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,9,9,4],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,4,4,6],f32>
  // CHECK: %[[DW:.*]] = "sparsebp.conv_weight_grad"(%{{.*}}, %[[X]]) {channels_last, {{.*}}padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>
  %dw = "sparsebp.conv_weight_grad"(%g, %p) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,4,6],f32>, !torch.vtensor<[2,9,9,4],f32>) -> !torch.vtensor<[6,4,3,3],f32>
  // CHECK: %[[DX:.*]] = "sparsebp.conv_input_grad"(%{{.*}}, %[[W]]) {channels_last, {{.*}}padding = array<i64: 0, 0>, padding_high = array<i64: 1, 1>{{.*}} -> !torch.vtensor<[2,8,8,4],f32>
  %dp = "sparsebp.conv_input_grad"(%g, %w) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,4,6],f32>, !torch.vtensor<[6,4,3,3],f32>) -> !torch.vtensor<[2,9,9,4],f32>
  %dx = torch.aten.constant_pad_nd %dp, %crop, %zero : !torch.vtensor<[2,9,9,4],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[2,8,8,4],f32>
  // CHECK: return %[[Y]], %[[DW]], %[[DX]]
  return %y, %dw, %dx : !torch.vtensor<[2,4,4,6],f32>, !torch.vtensor<[6,4,3,3],f32>, !torch.vtensor<[2,8,8,4],f32>
}

// -----

// What is the same at both ends needs one attribute, also where there was padding and where it is padded twice.
// CHECK-LABEL: func.func @twice
// CHECK-SAME: (%[[X:.*]]: !torch.vtensor<[1,2,8],f32>, %[[W:[^:]*]]:
func.func @twice(%x: !torch.vtensor<[1,2,8],f32>, %w: !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,14],f32> {
  %zero = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %before = torch.prim.ListConstruct %2, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %behind = torch.prim.ListConstruct %zero, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %p = torch.aten.constant_pad_nd %x, %before, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.int -> !torch.vtensor<[1,2,11],f32>
  %q = torch.aten.constant_pad_nd %p, %behind, %zero : !torch.vtensor<[1,2,11],f32>, !torch.list<int>, !torch.int -> !torch.vtensor<[1,2,12],f32>
  // CHECK: "sparsebp.convolution"(%[[X]], %[[W]]) {dilation = array<i64: 1>, groups = 1 : i64, padding = array<i64: 4>, stride = array<i64: 1>}
  %y = "sparsebp.convolution"(%q, %w) {stride = array<i64: 1>, padding = array<i64: 2>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,12],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,14],f32>
  return %y : !torch.vtensor<[1,2,14],f32>
}

// -----

// Ones, channels and what is cropped stay outside; so does what something else reads, for all that read it.
// CHECK-LABEL: func.func @kept
func.func @kept(%x: !torch.vtensor<[1,2,8],f32>, %w: !torch.vtensor<[2,2,3],f32>, %v: !torch.vtensor<[2,3,3],f32>) -> (!torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,6],f32>, !torch.vtensor<[1,2,5],f32>, !torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,10],f32>) {
  %zero = torch.constant.float 0.0
  %one = torch.constant.float 1.0
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %minus = torch.constant.int -1
  %ends = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %channels = torch.prim.ListConstruct %0, %0, %0, %1 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %less = torch.prim.ListConstruct %minus, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[P:.*]] = torch.aten.constant_pad_nd
  // CHECK: "sparsebp.convolution"(%[[P]]
  %p = torch.aten.constant_pad_nd %x, %ends, %one : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,2,10],f32>
  %a = "sparsebp.convolution"(%p, %w) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,10],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,8],f32>
  // CHECK: %[[Q:.*]] = torch.aten.constant_pad_nd
  // CHECK: "sparsebp.convolution"(%[[Q]]
  %q = torch.aten.constant_pad_nd %x, %channels, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,3,8],f32>
  %b = "sparsebp.convolution"(%q, %v) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,3,8],f32>, !torch.vtensor<[2,3,3],f32>) -> !torch.vtensor<[1,2,6],f32>
  // CHECK: %[[R:.*]] = torch.aten.constant_pad_nd
  // CHECK: "sparsebp.convolution"(%[[R]]
  %r = torch.aten.constant_pad_nd %x, %less, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,2,7],f32>
  %c = "sparsebp.convolution"(%r, %w) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,7],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,5],f32>
  // CHECK: %[[S:.*]] = torch.aten.constant_pad_nd
  // CHECK: "sparsebp.convolution"(%[[S]]
  // CHECK: return %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[S]]
  %s = torch.aten.constant_pad_nd %x, %ends, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,2,10],f32>
  %d = "sparsebp.convolution"(%s, %w) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,10],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,8],f32>
  return %a, %b, %c, %d, %s : !torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,6],f32>, !torch.vtensor<[1,2,5],f32>, !torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,10],f32>
}

// -----

// A gradient that is read uncropped stays whole, and one that is padded is no gradient of padding.
// CHECK-LABEL: func.func @whole
func.func @whole(%g: !torch.vtensor<[1,2,6],f32>, %w: !torch.vtensor<[2,2,3],f32>) -> (!torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,7],f32>, !torch.vtensor<[1,2,9],f32>) {
  %zero = torch.constant.float 0.0
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %minus = torch.constant.int -1
  %less = torch.prim.ListConstruct %0, %minus : (!torch.int, !torch.int) -> !torch.list<int>
  %more = torch.prim.ListConstruct %0, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  // CHECK: %[[WHOLE:.*]] = "sparsebp.conv_input_grad"{{.*}}padding = array<i64: 0>, stride
  // CHECK: torch.aten.constant_pad_nd %[[WHOLE]]
  %whole = "sparsebp.conv_input_grad"(%g, %w) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,6],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,8],f32>
  %cropped = torch.aten.constant_pad_nd %whole, %less, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,2,7],f32>
  // CHECK: %[[OTHER:.*]] = "sparsebp.conv_input_grad"{{.*}}padding = array<i64: 0>, stride
  // CHECK: torch.aten.constant_pad_nd %[[OTHER]]
  %other = "sparsebp.conv_input_grad"(%g, %w) {stride = array<i64: 1>, padding = array<i64: 0>, dilation = array<i64: 1>, groups = 1 : i64} : (!torch.vtensor<[1,2,6],f32>, !torch.vtensor<[2,2,3],f32>) -> !torch.vtensor<[1,2,8],f32>
  %padded = torch.aten.constant_pad_nd %other, %more, %zero : !torch.vtensor<[1,2,8],f32>, !torch.list<int>, !torch.float -> !torch.vtensor<[1,2,9],f32>
  return %whole, %cropped, %padded : !torch.vtensor<[1,2,8],f32>, !torch.vtensor<[1,2,7],f32>, !torch.vtensor<[1,2,9],f32>
}
