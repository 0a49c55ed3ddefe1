// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg{panel=32},canonicalize,cse)' | filecheck %s
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s --check-prefix=ROWS

// The weight of a linear layer, which has to be copied, is copied into panels of 32 columns.
// CHECK-LABEL: func.func @forward(
// CHECK: %[[SPLIT:.*]] = tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] output_shape [12, 32, 256] : tensor<384x256xf32> into tensor<12x32x256xf32>
// CHECK: %[[PACKED:.*]] = linalg.transpose ins(%[[SPLIT]] : tensor<12x32x256xf32>) {{.*}} permutation = [0, 2, 1]
// CHECK: %[[COPY:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[PACKED]])
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[COPY]] : tensor<64x256xf32>, tensor<12x256x32xf32>)
// CHECK: tensor.collapse_shape %[[Y]] {{\[\[}}0], [1, 2]] : tensor<64x12x32xf32> into tensor<64x384xf32>
// Without panels, the rows of the copy are adjacent.
// ROWS-LABEL: func.func @forward(
// ROWS: %[[ROWS:.*]] = linalg.transpose ins(%{{.*}} : tensor<384x256xf32>) {{.*}} permutation = [1, 0]
// ROWS: "iree_tensor_ext.compute_barrier.start"(%[[ROWS]])
// ROWS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<64x256xf32>, tensor<256x384xf32>)
func.func @forward(%x: !torch.vtensor<[64,256],f32>, %w: !torch.vtensor<[384,256],f32>) -> !torch.vtensor<[64,384],f32> {
  %0 = torch.aten.t %w : !torch.vtensor<[384,256],f32> -> !torch.vtensor<[256,384],f32>
  %1 = torch.aten.mm %x, %0 : !torch.vtensor<[64,256],f32>, !torch.vtensor<[256,384],f32> -> !torch.vtensor<[64,384],f32>
  return %1 : !torch.vtensor<[64,384],f32>
}

// A weight gradient reads the output gradient as a copy, which is made of it as it is in memory, and a large input in panels.
// CHECK-LABEL: func.func @weight_grad(
// CHECK: %[[G:.*]] = "iree_tensor_ext.compute_barrier.start"(%{{.*}}) : (tensor<1024x384xf32>)
// CHECK: %[[SWAPPED:.*]] = linalg.transpose ins(%[[G]] : tensor<1024x384xf32>) {{.*}} permutation = [1, 0]
// CHECK: %[[LEFT:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[SWAPPED]])
// CHECK: linalg.transpose ins(%{{.*}} : tensor<1024x48x32xf32>) {{.*}} permutation = [1, 0, 2]
// CHECK: linalg.generic {{.*}} ins(%[[LEFT]], %{{.*}} : tensor<384x1024xf32>, tensor<48x1024x32xf32>)
// ROWS-LABEL: func.func @weight_grad(
// ROWS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<384x1024xf32>, tensor<1024x1536xf32>)
func.func @weight_grad(%g: !torch.vtensor<[1024,384],f32>, %x: !torch.vtensor<[1024,1536],f32>) -> !torch.vtensor<[384,1536],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.aten.transpose.int %g, %0, %1 : !torch.vtensor<[1024,384],f32>, !torch.int, !torch.int -> !torch.vtensor<[384,1024],f32>
  %3 = torch.aten.mm %2, %x : !torch.vtensor<[384,1024],f32>, !torch.vtensor<[1024,1536],f32> -> !torch.vtensor<[384,1536],f32>
  return %3 : !torch.vtensor<[384,1536],f32>
}

// A large weight is packed for an input gradient; a small one is read as it is, and so is what few columns multiply.
// CHECK-LABEL: func.func @input_grad(
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<1024x1536xf32>, tensor<12x1536x32xf32>)
// CHECK: torch.aten.mm
// CHECK: torch.aten.mm
// ROWS-LABEL: func.func @input_grad(
// ROWS-COUNT-3: torch.aten.mm
func.func @input_grad(%g: !torch.vtensor<[1024,1536],f32>, %w: !torch.vtensor<[1536,384],f32>, %s: !torch.vtensor<[384,64],f32>) -> (!torch.vtensor<[1024,64],f32>, !torch.vtensor<[1536,64],f32>) {
  %0 = torch.aten.mm %g, %w : !torch.vtensor<[1024,1536],f32>, !torch.vtensor<[1536,384],f32> -> !torch.vtensor<[1024,384],f32>
  %1 = torch.aten.mm %0, %s : !torch.vtensor<[1024,384],f32>, !torch.vtensor<[384,64],f32> -> !torch.vtensor<[1024,64],f32>
  %2 = torch.aten.t %g : !torch.vtensor<[1024,1536],f32> -> !torch.vtensor<[1536,1024],f32>
  %3 = torch.aten.mm %2, %1 : !torch.vtensor<[1536,1024],f32>, !torch.vtensor<[1024,64],f32> -> !torch.vtensor<[1536,64],f32>
  return %1, %3 : !torch.vtensor<[1024,64],f32>, !torch.vtensor<[1536,64],f32>
}

// For more rows on the left, a smaller weight is packed, too.
// CHECK-LABEL: func.func @packed_for_many_rows(
// CHECK: torch.aten.mm
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<256x512xf32>, tensor<8x512x32xf32>)
// CHECK: torch.aten.mm
func.func @packed_for_many_rows(%few: !torch.vtensor<[255,512],f32>, %g: !torch.vtensor<[256,512],f32>, %w: !torch.vtensor<[512,256],f32>, %s: !torch.vtensor<[512,224],f32>) -> (!torch.vtensor<[255,256],f32>, !torch.vtensor<[256,256],f32>, !torch.vtensor<[256,224],f32>) {
  %0 = torch.aten.mm %few, %w : !torch.vtensor<[255,512],f32>, !torch.vtensor<[512,256],f32> -> !torch.vtensor<[255,256],f32>
  %1 = torch.aten.mm %g, %w : !torch.vtensor<[256,512],f32>, !torch.vtensor<[512,256],f32> -> !torch.vtensor<[256,256],f32>
  %2 = torch.aten.mm %g, %s : !torch.vtensor<[256,512],f32>, !torch.vtensor<[512,224],f32> -> !torch.vtensor<[256,224],f32>
  return %0, %1, %2 : !torch.vtensor<[255,256],f32>, !torch.vtensor<[256,256],f32>, !torch.vtensor<[256,224],f32>
}

// Patches of a weight gradient are copied into panels in the first place.
// CHECK-LABEL: func.func @conv_weight_grad(
// CHECK: %[[PATCHES:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<3x3x2x2x8x8x32xf32>)
// CHECK: %[[PANELS:.*]] = tensor.collapse_shape %[[PATCHES]] {{.*}} into tensor<18x128x32xf32>
// CHECK: %[[RIGHT:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[PANELS]])
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[RIGHT]] : tensor<96x128xf32>, tensor<18x128x32xf32>)
// ROWS-LABEL: func.func @conv_weight_grad(
// ROWS: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<96x128xf32>, tensor<128x576xf32>)
func.func @conv_weight_grad(%g: !torch.vtensor<[2,8,8,96],f32>, %x: !torch.vtensor<[2,8,8,64],f32>) -> !torch.vtensor<[96,64,3,3],f32> {
  %0 = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, stride = array<i64: 1, 1>, padding = array<i64: 1, 1>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,8,8,96],f32>, !torch.vtensor<[2,8,8,64],f32>) -> !torch.vtensor<[96,64,3,3],f32>
  return %0 : !torch.vtensor<[96,64,3,3],f32>
}

// Of an odd number of taps and channels, vectors lie along the filters: the weight gradient of a ResNet's stem.
// CHECK-LABEL: func.func @stem_weight_grad(
// CHECK: %[[PRODUCT:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<128x147xf32>, tensor<128x64xf32>) outs(%{{.*}} : tensor<147x64xf32>)
// CHECK: %[[COPY:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[PRODUCT]])
// CHECK: linalg.transpose ins(%[[COPY]] : tensor<147x64xf32>) {{.*}} permutation = [1, 0]
func.func @stem_weight_grad(%g: !torch.vtensor<[2,8,8,64],f32>, %x: !torch.vtensor<[2,16,16,3],f32>) -> !torch.vtensor<[64,3,7,7],f32> {
  %0 = "sparsebp.conv_weight_grad"(%g, %x) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 3, 3>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,8,8,64],f32>, !torch.vtensor<[2,16,16,3],f32>) -> !torch.vtensor<[64,3,7,7],f32>
  return %0 : !torch.vtensor<[64,3,7,7],f32>
}

// The input gradient of a pointwise convolution reads the weight as it is, and is spread where there was a stride.
// CHECK-LABEL: func.func @pointwise_input_grad(
// CHECK-NOT: linalg.transpose
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<32x96xf32>, tensor<96x64xf32>)
// CHECK: tensor.expand_shape %[[Y]] {{.*}} : tensor<32x64xf32> into tensor<2x4x4x1x64xf32>
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8x8x64xf32>)
func.func @pointwise_input_grad(%g: !torch.vtensor<[2,4,4,96],f32>, %w: !torch.vtensor<[96,64,1,1],f32>) -> !torch.vtensor<[2,8,8,64],f32> {
  %0 = "sparsebp.conv_input_grad"(%g, %w) {channels_last, stride = array<i64: 2, 2>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,4,4,96],f32>, !torch.vtensor<[96,64,1,1],f32>) -> !torch.vtensor<[2,8,8,64],f32>
  return %0 : !torch.vtensor<[2,8,8,64],f32>
}

// Keys are transposed apart from the projection that makes them and from the product that reads them.
// CHECK-LABEL: func.func @keys(
// CHECK: %[[K:.*]] = "iree_tensor_ext.compute_barrier.start"(%{{.*}}) : (tensor<4x12x128x32xf32>)
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[K]] : tensor<4x12x128x32xf32>) {{.*}} permutation = [0, 1, 3, 2]
// CHECK: "iree_tensor_ext.compute_barrier.start"(%[[T]])
func.func @keys(%k: !torch.vtensor<[4,12,128,32],f32>) -> !torch.vtensor<[4,12,32,128],f32> {
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %0 = torch.aten.transpose.int %k, %2, %3 : !torch.vtensor<[4,12,128,32],f32>, !torch.int, !torch.int -> !torch.vtensor<[4,12,32,128],f32>
  return %0 : !torch.vtensor<[4,12,32,128],f32>
}

// Small tensors, permutations of what is not adjacent, and left factors of products are left as they are.
// CHECK-LABEL: func.func @left(
// CHECK-NOT: compute_barrier
// CHECK: torch.aten.t %arg0
// CHECK: torch.aten.permute %arg1
// CHECK: torch.aten.transpose.int %arg2
// CHECK: torch.aten.bmm
func.func @left(%s: !torch.vtensor<[8,8],f32>, %h: !torch.vtensor<[8,128,12,32],f32>, %p: !torch.vtensor<[96,128,128],f32>, %v: !torch.vtensor<[96,128,32],f32>) -> (!torch.vtensor<[8,8],f32>, !torch.vtensor<[8,12,128,32],f32>, !torch.vtensor<[96,128,32],f32>) {
  %int0 = torch.constant.int 0
  %int1 = torch.constant.int 1
  %int2 = torch.constant.int 2
  %int3 = torch.constant.int 3
  %order = torch.prim.ListConstruct %int0, %int2, %int1, %int3 : (!torch.int, !torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %0 = torch.aten.t %s : !torch.vtensor<[8,8],f32> -> !torch.vtensor<[8,8],f32>
  %1 = torch.aten.permute %h, %order : !torch.vtensor<[8,128,12,32],f32>, !torch.list<int> -> !torch.vtensor<[8,12,128,32],f32>
  %2 = torch.aten.transpose.int %p, %int1, %int2 : !torch.vtensor<[96,128,128],f32>, !torch.int, !torch.int -> !torch.vtensor<[96,128,128],f32>
  %3 = torch.aten.bmm %2, %v : !torch.vtensor<[96,128,128],f32>, !torch.vtensor<[96,128,32],f32> -> !torch.vtensor<[96,128,32],f32>
  return %0, %1, %3 : !torch.vtensor<[8,8],f32>, !torch.vtensor<[8,12,128,32],f32>, !torch.vtensor<[96,128,32],f32>
}

// A bias is added while tiles of the product are in registers; with one consumer the sum may be fused with that, too.
// CHECK-LABEL: func.func @bias(
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<64x256xf32>, tensor<12x256x32xf32>)
// CHECK: %[[B:.*]] = tensor.expand_shape %{{.*}} {{\[\[}}0, 1]] output_shape [12, 32] : tensor<384xf32> into tensor<12x32xf32>
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[Y]], %[[B]] : tensor<64x12x32xf32>, tensor<12x32xf32>)
// CHECK-NOT: compute_barrier
// CHECK: torch.aten.erf
// ROWS-LABEL: func.func @bias(
// ROWS: torch.aten.add.Tensor
func.func @bias(%x: !torch.vtensor<[64,256],f32>, %w: !torch.vtensor<[384,256],f32>, %b: !torch.vtensor<[384],f32>) -> !torch.vtensor<[64,384],f32> {
  %one = torch.constant.int 1
  %0 = torch.aten.t %w : !torch.vtensor<[384,256],f32> -> !torch.vtensor<[256,384],f32>
  %1 = torch.aten.mm %x, %0 : !torch.vtensor<[64,256],f32>, !torch.vtensor<[256,384],f32> -> !torch.vtensor<[64,384],f32>
  %2 = torch.aten.add.Tensor %1, %b, %one : !torch.vtensor<[64,384],f32>, !torch.vtensor<[384],f32>, !torch.int -> !torch.vtensor<[64,384],f32>
  %3 = torch.aten.erf %2 : !torch.vtensor<[64,384],f32> -> !torch.vtensor<[64,384],f32>
  return %3 : !torch.vtensor<[64,384],f32>
}

// Several consumers, behind views, are kept apart from the sum: one of them would take it along.
// CHECK-LABEL: func.func @bias_used_twice(
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<64x12x32xf32>, tensor<12x32xf32>)
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[SUM]]
// CHECK: "iree_tensor_ext.compute_barrier.start"(%[[FLAT]]) : (tensor<64x384xf32>)
func.func @bias_used_twice(%x: !torch.vtensor<[64,256],f32>, %w: !torch.vtensor<[384,256],f32>, %b: !torch.vtensor<[384],f32>) -> !torch.vtensor<[8,8,384],f32> {
  %one = torch.constant.int 1
  %eight = torch.constant.int 8
  %many = torch.constant.int 384
  %0 = torch.aten.t %w : !torch.vtensor<[384,256],f32> -> !torch.vtensor<[256,384],f32>
  %1 = torch.aten.mm %x, %0 : !torch.vtensor<[64,256],f32>, !torch.vtensor<[256,384],f32> -> !torch.vtensor<[64,384],f32>
  %2 = torch.aten.add.Tensor %1, %b, %one : !torch.vtensor<[64,384],f32>, !torch.vtensor<[384],f32>, !torch.int -> !torch.vtensor<[64,384],f32>
  %3 = torch.prim.ListConstruct %eight, %eight, %many : (!torch.int, !torch.int, !torch.int) -> !torch.list<int>
  %4 = torch.aten.view %2, %3 : !torch.vtensor<[64,384],f32>, !torch.list<int> -> !torch.vtensor<[8,8,384],f32>
  %5 = torch.aten.erf %4 : !torch.vtensor<[8,8,384],f32> -> !torch.vtensor<[8,8,384],f32>
  %6 = torch.aten.mul.Tensor %4, %5 : !torch.vtensor<[8,8,384],f32>, !torch.vtensor<[8,8,384],f32> -> !torch.vtensor<[8,8,384],f32>
  return %6 : !torch.vtensor<[8,8,384],f32>
}

// Repeated behind a sparsebp.save, arithmetic of a sum must not be merged with the first time: barriers of barriers would be.
// CHECK-LABEL: func.func @bias_saved(
// CHECK-COUNT-2: "iree_tensor_ext.compute_barrier.start"
// CHECK-NOT: compute_barrier
func.func @bias_saved(%x: !torch.vtensor<[64,256],f32>, %w: !torch.vtensor<[384,256],f32>, %b: !torch.vtensor<[384],f32>) -> (!torch.vtensor<[64,384],f32>, !torch.vtensor<[64,384],f32>) {
  %one = torch.constant.int 1
  %0 = torch.aten.t %w : !torch.vtensor<[384,256],f32> -> !torch.vtensor<[256,384],f32>
  %1 = torch.aten.mm %x, %0 : !torch.vtensor<[64,256],f32>, !torch.vtensor<[256,384],f32> -> !torch.vtensor<[64,384],f32>
  %2 = torch.aten.add.Tensor %1, %b, %one : !torch.vtensor<[64,384],f32>, !torch.vtensor<[384],f32>, !torch.int -> !torch.vtensor<[64,384],f32>
  %3 = "sparsebp.save"(%2) : (!torch.vtensor<[64,384],f32>) -> !torch.vtensor<[64,384],f32>
  %4 = torch.aten.erf %2 : !torch.vtensor<[64,384],f32> -> !torch.vtensor<[64,384],f32>
  %5 = torch.aten.erf %3 : !torch.vtensor<[64,384],f32> -> !torch.vtensor<[64,384],f32>
  return %4, %5 : !torch.vtensor<[64,384],f32>, !torch.vtensor<[64,384],f32>
}

// What depends on no argument is packed before run time, and so is packed where it is smaller and for fewer rows; not for a few.
// CHECK-LABEL: func.func @frozen_input_grad(
// CHECK: linalg.transpose ins(%{{.*}} : tensor<384x12x32xf32>) {{.*}} permutation = [1, 0, 2]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<64x384xf32>, tensor<12x384x32xf32>)
// CHECK: torch.aten.mm
// ROWS-LABEL: func.func @frozen_input_grad(
// ROWS-COUNT-2: torch.aten.mm
"sparsebp.parameter"() {sym_name = "w", type = tensor<384x384xf32>, role = "parameter", dimensions = ["output_features", "input_features"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @frozen_input_grad(%g: !torch.vtensor<[64,384],f32>, %h: !torch.vtensor<[8,384],f32>) -> (!torch.vtensor<[64,384],f32>, !torch.vtensor<[8,384],f32>) {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[384,384],f32>
  %0 = torch.aten.mm %g, %w : !torch.vtensor<[64,384],f32>, !torch.vtensor<[384,384],f32> -> !torch.vtensor<[64,384],f32>
  %1 = torch.aten.mm %h, %w : !torch.vtensor<[8,384],f32>, !torch.vtensor<[384,384],f32> -> !torch.vtensor<[8,384],f32>
  return %0, %1 : !torch.vtensor<[64,384],f32>, !torch.vtensor<[8,384],f32>
}
