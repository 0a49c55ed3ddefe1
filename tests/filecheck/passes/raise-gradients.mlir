// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-raise-gradients,canonicalize,cse)' | filecheck %s

// A convolution's backward becomes an operation for each gradient; the bias' is a sum.
// CHECK-LABEL: func.func @convolution_backward
// CHECK-SAME: %arg0: !torch.vtensor<[2,8,8,8],f32>, %arg1: !torch.vtensor<[2,3,16,16],f32>, %arg2: !torch.vtensor<[8,3,3,3],f32>
// CHECK: %[[DX:.*]] = "sparsebp.conv_input_grad"(%arg0, %arg2) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : {{.*}} -> !torch.vtensor<[2,3,16,16],f32>
// CHECK: %[[DW:.*]] = "sparsebp.conv_weight_grad"(%arg0, %arg1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>} : {{.*}} -> !torch.vtensor<[8,3,3,3],f32>
// CHECK: %[[DB:.*]] = torch.aten.sum.dim_IntList %arg0
// CHECK: return %[[DX]], %[[DW]], %[[DB]]
func.func @convolution_backward(%g: !torch.vtensor<[2,8,8,8],f32>, %x: !torch.vtensor<[2,3,16,16],f32>, %w: !torch.vtensor<[8,3,3,3],f32>) -> (!torch.vtensor<[2,3,16,16],f32>, !torch.vtensor<[8,3,3,3],f32>, !torch.vtensor<[8],f32>) {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %8 = torch.constant.int 8
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %bias = torch.prim.ListConstruct %8 : (!torch.int) -> !torch.list<int>
  // One number stands for all dimensions.
  %stride = torch.prim.ListConstruct %2 : (!torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %mask = torch.prim.ListConstruct %true, %true, %true : (!torch.bool, !torch.bool, !torch.bool) -> !torch.list<bool>
  %dx, %dw, %db = torch.aten.convolution_backward %g, %x, %w, %bias, %stride, %ones, %ones, %false, %zeros, %1, %mask : !torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[2,3,16,16],f32>, !torch.vtensor<[8,3,3,3],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int, !torch.list<bool> -> !torch.vtensor<[2,3,16,16],f32>, !torch.vtensor<[8,3,3,3],f32>, !torch.vtensor<[8],f32>
  return %dx, %dw, %db : !torch.vtensor<[2,3,16,16],f32>, !torch.vtensor<[8,3,3,3],f32>, !torch.vtensor<[8],f32>
}

// Gradients that the mask leaves out, or nothing uses, are not computed.
// CHECK-LABEL: func.func @masked_convolution_backward
// CHECK-NOT: conv_input_grad
// CHECK-NOT: aten.sum
// CHECK: "sparsebp.conv_weight_grad"
// CHECK-NOT: aten.sum
// CHECK: return
func.func @masked_convolution_backward(%g: !torch.vtensor<[2,8,8,8],f32>, %x: !torch.vtensor<[2,3,8,8],f32>, %w: !torch.vtensor<[8,3,1,1],f32>) -> !torch.vtensor<[8,3,1,1],f32> {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %8 = torch.constant.int 8
  %false = torch.constant.bool false
  %true = torch.constant.bool true
  %bias = torch.prim.ListConstruct %8 : (!torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %mask = torch.prim.ListConstruct %false, %true, %true : (!torch.bool, !torch.bool, !torch.bool) -> !torch.list<bool>
  %dx, %dw, %db = torch.aten.convolution_backward %g, %x, %w, %bias, %ones, %zeros, %ones, %false, %zeros, %1, %mask : !torch.vtensor<[2,8,8,8],f32>, !torch.vtensor<[2,3,8,8],f32>, !torch.vtensor<[8,3,1,1],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int, !torch.list<bool> -> !torch.none, !torch.vtensor<[8,3,1,1],f32>, !torch.vtensor<[8],f32>
  return %dw : !torch.vtensor<[8,3,1,1],f32>
}

// A transposed convolution is an input gradient, and its own input gradient a convolution.
// CHECK-LABEL: func.func @transposed
// CHECK-SAME: %[[X:.*]]: !torch.vtensor<[2,4,5,5],f32>, %[[W:.*]]: !torch.vtensor<[4,6,3,3],f32>, %[[B:.*]]: !torch.vtensor<[6],f32>, %[[G:.*]]: !torch.vtensor<[2,6,10,10],f32>
// CHECK-DAG: %[[Y:.*]] = "sparsebp.conv_input_grad"(%[[X]], %[[W]]) {{.*}}stride = array<i64: 2, 2>{{.*}} -> !torch.vtensor<[2,6,10,10],f32>
// CHECK-DAG: %[[VIEW:.*]] = torch.aten.view %[[B]]
// CHECK: %[[SUM:.*]] = torch.aten.add.Tensor %[[Y]], %[[VIEW]]
// CHECK: %[[DX:.*]] = torch.aten.convolution %[[G]], %[[W]], %none, {{.*}} -> !torch.vtensor<[2,4,5,5],f32>
// CHECK: %[[DW:.*]] = "sparsebp.conv_weight_grad"(%[[X]], %[[G]]) {{.*}} -> !torch.vtensor<[4,6,3,3],f32>
// CHECK: return %[[SUM]], %[[DX]], %[[DW]]
func.func @transposed(%x: !torch.vtensor<[2,4,5,5],f32>, %w: !torch.vtensor<[4,6,3,3],f32>, %b: !torch.vtensor<[6],f32>, %g: !torch.vtensor<[2,6,10,10],f32>) -> (!torch.vtensor<[2,6,10,10],f32>, !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,6,3,3],f32>) {
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %6 = torch.constant.int 6
  %true = torch.constant.bool true
  %bias = torch.prim.ListConstruct %6 : (!torch.int) -> !torch.list<int>
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %mask = torch.prim.ListConstruct %true, %true, %true : (!torch.bool, !torch.bool, !torch.bool) -> !torch.list<bool>
  %y = torch.aten.convolution %x, %w, %b, %twos, %ones, %ones, %true, %ones, %1 : !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,6,3,3],f32>, !torch.vtensor<[6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,6,10,10],f32>
  %dx, %dw, %db = torch.aten.convolution_backward %g, %x, %w, %bias, %twos, %ones, %ones, %true, %ones, %1, %mask : !torch.vtensor<[2,6,10,10],f32>, !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,6,3,3],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int, !torch.list<bool> -> !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,6,3,3],f32>, !torch.vtensor<[6],f32>
  return %y, %dx, %dw : !torch.vtensor<[2,6,10,10],f32>, !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,6,3,3],f32>
}

// A convolution that is not transposed is left alone.
// CHECK-LABEL: func.func @forward
// CHECK: torch.aten.convolution
func.func @forward(%x: !torch.vtensor<[2,4,5,5],f32>, %w: !torch.vtensor<[4,4,1,1],f32>) -> !torch.vtensor<[2,4,5,5],f32> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %false = torch.constant.bool false
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %y = torch.aten.convolution %x, %w, %none, %ones, %zeros, %ones, %false, %zeros, %1 : !torch.vtensor<[2,4,5,5],f32>, !torch.vtensor<[4,4,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,4,5,5],f32>
  return %y : !torch.vtensor<[2,4,5,5],f32>
}

// Max pooling saves positions inside windows, found where the pool is; ceil_mode is in the result's size.
// CHECK-LABEL: func.func @max_pool
// CHECK-SAME: %[[X:.*]]: !torch.vtensor<[2,4,6,6],f32>, %[[G:.*]]: !torch.vtensor<[2,4,3,3],f32>
// CHECK-DAG: %[[AT:.*]] = "sparsebp.max_pool_argmax"(%[[X]]) {dilation = array<i64: 1, 1>, kernel = array<i64: 2, 2>, padding = array<i64: 0, 0>, stride = array<i64: 2, 2>} : {{.*}} -> !torch.vtensor<[2,4,3,3],si32>
// CHECK-DAG: %[[Y:.*]] = "sparsebp.max_pool"(%[[X]]) {{.*}} -> !torch.vtensor<[2,4,3,3],f32>
// CHECK: torch.aten.relu
// CHECK: %[[DX:.*]] = "sparsebp.max_pool_grad"(%{{.*}}, %[[AT]]) {{.*}} -> !torch.vtensor<[2,4,6,6],f32>
// CHECK: return %[[Y]], %[[DX]]
func.func @max_pool(%x: !torch.vtensor<[2,4,6,6],f32>, %g: !torch.vtensor<[2,4,3,3],f32>) -> (!torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,6,6],f32>) {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %true = torch.constant.bool true
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %none = torch.prim.ListConstruct : () -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %y, %indices = torch.aten.max_pool2d_with_indices %x, %twos, %none, %zeros, %ones, %true : !torch.vtensor<[2,4,6,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,3,3],si64>
  %h = torch.aten.relu %g : !torch.vtensor<[2,4,3,3],f32> -> !torch.vtensor<[2,4,3,3],f32>
  %dx = torch.aten.max_pool2d_with_indices_backward %h, %x, %twos, %none, %zeros, %ones, %true, %indices : !torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,6,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.vtensor<[2,4,3,3],si64> -> !torch.vtensor<[2,4,6,6],f32>
  return %y, %dx : !torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,6,6],f32>
}

// A pool whose indices the program looks at keeps them.
// CHECK-LABEL: func.func @max_pool_with_used_indices
// CHECK: torch.aten.max_pool2d_with_indices %
// CHECK: torch.aten.max_pool2d_with_indices_backward
func.func @max_pool_with_used_indices(%x: !torch.vtensor<[2,4,6,6],f32>, %g: !torch.vtensor<[2,4,3,3],f32>) -> (!torch.vtensor<[2,4,3,3],si64>, !torch.vtensor<[2,4,6,6],f32>) {
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %false = torch.constant.bool false
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %zeros = torch.prim.ListConstruct %0, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %y, %indices = torch.aten.max_pool2d_with_indices %x, %twos, %twos, %zeros, %ones, %false : !torch.vtensor<[2,4,6,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool -> !torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,3,3],si64>
  %dx = torch.aten.max_pool2d_with_indices_backward %g, %x, %twos, %twos, %zeros, %ones, %false, %indices : !torch.vtensor<[2,4,3,3],f32>, !torch.vtensor<[2,4,6,6],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.vtensor<[2,4,3,3],si64> -> !torch.vtensor<[2,4,6,6],f32>
  return %indices, %dx : !torch.vtensor<[2,4,3,3],si64>, !torch.vtensor<[2,4,6,6],f32>
}

// The backward of average pooling, spelt as torch-mlir spells operations that it does not define.
// CHECK-LABEL: func.func @avg_pool_backward
// CHECK: "sparsebp.avg_pool_grad"(%arg0) {count_include_pad = false, divisor_override = 0 : i64, kernel = array<i64: 3, 3>, padding = array<i64: 1, 1>, stride = array<i64: 2, 2>}
func.func @avg_pool_backward(%g: !torch.vtensor<[2,4,4,4],f32>, %x: !torch.vtensor<[2,4,8,8],f32>) -> !torch.vtensor<[2,4,8,8],f32> {
  %none = torch.constant.none
  %1 = torch.constant.int 1
  %2 = torch.constant.int 2
  %3 = torch.constant.int 3
  %false = torch.constant.bool false
  %threes = torch.prim.ListConstruct %3, %3 : (!torch.int, !torch.int) -> !torch.list<int>
  %twos = torch.prim.ListConstruct %2, %2 : (!torch.int, !torch.int) -> !torch.list<int>
  %ones = torch.prim.ListConstruct %1, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %dx = torch.operator "torch.aten.avg_pool2d_backward"(%g, %x, %threes, %twos, %ones, %false, %false, %none) : (!torch.vtensor<[2,4,4,4],f32>, !torch.vtensor<[2,4,8,8],f32>, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.bool, !torch.none) -> !torch.vtensor<[2,4,8,8],f32>
  return %dx : !torch.vtensor<[2,4,8,8],f32>
}

// Adaptive pooling is pooling where the sizes divide, and a product with a matrix a dimension where not.
// CHECK-LABEL: func.func @adaptive_avg_pool
// CHECK-DAG: torch.vtensor.literal(dense<{{.*}}5.000000e-01{{.*}}> : tensor<3x5xf32>)
// CHECK-DAG: "sparsebp.avg_pool_grad"(%arg0) {{.*}}kernel = array<i64: 2, 4>
// CHECK: torch.aten.mm
// CHECK: torch.aten.mm
func.func @adaptive_avg_pool(%g: !torch.vtensor<[2,4,3,2],f32>, %x: !torch.vtensor<[2,4,6,8],f32>, %z: !torch.vtensor<[2,4,5,8],f32>) -> (!torch.vtensor<[2,4,6,8],f32>, !torch.vtensor<[2,4,5,8],f32>) {
  %a = torch.aten._adaptive_avg_pool2d_backward %g, %x : !torch.vtensor<[2,4,3,2],f32>, !torch.vtensor<[2,4,6,8],f32> -> !torch.vtensor<[2,4,6,8],f32>
  %b = torch.aten._adaptive_avg_pool2d_backward %g, %z : !torch.vtensor<[2,4,3,2],f32>, !torch.vtensor<[2,4,5,8],f32> -> !torch.vtensor<[2,4,5,8],f32>
  return %a, %b : !torch.vtensor<[2,4,6,8],f32>, !torch.vtensor<[2,4,5,8],f32>
}

// The gradient of an embedding is for all rows of its table.
// CHECK-LABEL: func.func @embedding_backward
// CHECK: "sparsebp.embedding_grad"(%arg0, %arg1) {first_row = 0 : i64, padding_idx = 3 : i64, scale_grad_by_freq = false}
func.func @embedding_backward(%g: !torch.vtensor<[2,4,8],f32>, %i: !torch.vtensor<[2,4],si64>) -> !torch.vtensor<[10,8],f32> {
  %3 = torch.constant.int 3
  %10 = torch.constant.int 10
  %false = torch.constant.bool false
  %dw = torch.aten.embedding_dense_backward %g, %i, %10, %3, %false : !torch.vtensor<[2,4,8],f32>, !torch.vtensor<[2,4],si64>, !torch.int, !torch.int, !torch.bool -> !torch.vtensor<[10,8],f32>
  return %dw : !torch.vtensor<[10,8],f32>
}
