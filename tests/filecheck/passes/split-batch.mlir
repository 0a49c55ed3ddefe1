// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-split-batch{count=2})' | filecheck %s

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, role = "parameter", dimensions = ["output_channels", "input_channels"], channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// The product that a weight gradient is adds up over 4 samples instead of 8, and what a part gives are its summands.
// CHECK-LABEL: func.func @gradients(%arg0: !torch.vtensor<[4,4],f32>, %arg1: !torch.vtensor<[4,3],f32>)
// CHECK-SAME: sparsebp.shards = {count = 2 : i64, divided = array<i1: true, true>, partials = 2 : i64, whole = array<i64>}
// CHECK: %[[Y:.*]] = torch.aten.mm %arg0, {{.*}} -> !torch.vtensor<[4,3],f32>
// CHECK: %[[SUM:.*]] = torch.aten.sum.dim_IntList
// CHECK: %[[DW:.*]] = torch.aten.mm {{.*}} : !torch.vtensor<[3,4],f32>, !torch.vtensor<[4,4],f32> -> !torch.vtensor<[3,4],f32>
// CHECK-NOT: torch.aten.sqrt
// CHECK: return %[[Y]], %[[DW]], %[[SUM]]
// CHECK-LABEL: func.func @update(
// CHECK: %[[TOTAL:.*]] = torch.aten.add.Tensor %arg0, %arg2
// CHECK: torch.aten.add.Tensor %arg1, %arg3
// CHECK: %[[LOSS:.*]] = torch.aten.sqrt
// CHECK: "sparsebp.update"(%[[TOTAL]])
// CHECK: return %[[LOSS]]
func.func @step(%x: !torch.vtensor<[8,4],f32>, %t: !torch.vtensor<[8,3],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[8,3],f32>) {
  %false = torch.constant.bool false
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %8 = torch.constant.int 8
  %swapped = torch.prim.ListConstruct %1, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %all = torch.prim.ListConstruct %0, %1 : (!torch.int, !torch.int) -> !torch.list<int>
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[3,4],f32>
  %wt = torch.aten.permute %w, %swapped : !torch.vtensor<[3,4],f32>, !torch.list<int> -> !torch.vtensor<[4,3],f32>
  %y = torch.aten.mm %x, %wt : !torch.vtensor<[8,4],f32>, !torch.vtensor<[4,3],f32> -> !torch.vtensor<[8,3],f32>
  %d = torch.aten.sub.Tensor %y, %t, %1 : !torch.vtensor<[8,3],f32>, !torch.vtensor<[8,3],f32>, !torch.int -> !torch.vtensor<[8,3],f32>
  %s = torch.aten.mul.Tensor %d, %d : !torch.vtensor<[8,3],f32>, !torch.vtensor<[8,3],f32> -> !torch.vtensor<[8,3],f32>
  %sum = torch.aten.sum.dim_IntList %s, %all, %false, %none : !torch.vtensor<[8,3],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[],f32>
  %loss = torch.aten.sqrt %sum : !torch.vtensor<[],f32> -> !torch.vtensor<[],f32>
  %dt = torch.aten.permute %d, %swapped : !torch.vtensor<[8,3],f32>, !torch.list<int> -> !torch.vtensor<[3,8],f32>
  %dw = torch.aten.mm %dt, %x : !torch.vtensor<[3,8],f32>, !torch.vtensor<[8,4],f32> -> !torch.vtensor<[3,4],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return %loss, %y : !torch.vtensor<[],f32>, !torch.vtensor<[8,3],f32>
}

// -----

// By how many samples the loss is divided is known to each part, from all labels.
// CHECK-LABEL: func.func @gradients(%arg0: !torch.vtensor<[4],f32>, %arg1: !torch.vtensor<[4],si64>, %arg2: !torch.vtensor<[8],si64>)
// CHECK-SAME: whole = array<i64: 1>
// CHECK: torch.aten.gt.Scalar %arg1, {{.*}} -> !torch.vtensor<[4],i1>
// CHECK: %[[COUNTED:.*]] = torch.aten.gt.Scalar %arg2, {{.*}} -> !torch.vtensor<[8],i1>
// CHECK: %[[COUNT:.*]] = torch.aten.sum %[[COUNTED]]
// CHECK: torch.aten.div.Tensor {{.*}}, %[[COUNT]] : !torch.vtensor<[4],f32>
func.func @step(%x: !torch.vtensor<[8],f32>, %y: !torch.vtensor<[8],si64>) -> !torch.vtensor<[],f32> {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %zero = torch.aten.mul.Scalar %x, %0 : !torch.vtensor<[8],f32>, !torch.int -> !torch.vtensor<[8],f32>
  %counts = torch.aten.gt.Scalar %y, %0 : !torch.vtensor<[8],si64>, !torch.int -> !torch.vtensor<[8],i1>
  %count = torch.aten.sum %counts, %none : !torch.vtensor<[8],i1>, !torch.none -> !torch.vtensor<[],si64>
  %chosen = torch.aten.where.self %counts, %x, %zero : !torch.vtensor<[8],i1>, !torch.vtensor<[8],f32>, !torch.vtensor<[8],f32> -> !torch.vtensor<[8],f32>
  %mean = torch.aten.div.Tensor %chosen, %count : !torch.vtensor<[8],f32>, !torch.vtensor<[],si64> -> !torch.vtensor<[8],f32>
  %square = torch.aten.mul.Tensor %mean, %mean : !torch.vtensor<[8],f32>, !torch.vtensor<[8],f32> -> !torch.vtensor<[8],f32>
  %loss = torch.aten.sum %square, %none : !torch.vtensor<[8],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss : !torch.vtensor<[],f32>
}

// -----

// The mean over the batch is a sum of both parts' sums, divided behind it; that over the other dimension stays.
// CHECK-LABEL: func.func @gradients(%arg0: !torch.vtensor<[4,2],f32>)
// CHECK: %[[MEANS:.*]] = torch.aten.mean.dim {{.*}} -> !torch.vtensor<[4],f32>
// CHECK: %[[SUM:.*]] = torch.aten.sum.dim_IntList
// CHECK: %[[MEAN:.*]] = torch.aten.div.Scalar %[[SUM]], %int16
// CHECK: return %[[MEANS]], %[[MEAN]]
// CHECK-LABEL: func.func @update(
// CHECK: torch.aten.add.Tensor %arg0, %arg1
func.func @step(%x: !torch.vtensor<[8,2],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[8],f32>) {
  %none = torch.constant.none
  %false = torch.constant.bool false
  %1 = torch.constant.int 1
  %last = torch.prim.ListConstruct %1 : (!torch.int) -> !torch.list<int>
  %means = torch.aten.mean.dim %x, %last, %false, %none : !torch.vtensor<[8,2],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[8],f32>
  %square = torch.aten.mul.Tensor %x, %x : !torch.vtensor<[8,2],f32>, !torch.vtensor<[8,2],f32> -> !torch.vtensor<[8,2],f32>
  %loss = torch.aten.mean %square, %none : !torch.vtensor<[8,2],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss, %means : !torch.vtensor<[],f32>, !torch.vtensor<[8],f32>
}

// -----

// A product of 32 x 16 elements is more than the 4 x 48 that it is made of: parts of these are put together, as they
// are, and turned and multiplied behind that.
// CHECK-LABEL: func.func @gradients(%arg0: !torch.vtensor<[2,16],f32>, %arg1: !torch.vtensor<[2,32],f32>)
// CHECK-SAME: partials = 3 : i64
// CHECK-NOT: torch.aten.mm
// CHECK: %[[LOSS:.*]] = torch.aten.sum
// CHECK: return %arg0, %[[LOSS]], %arg0, %{{.*}} : !torch.vtensor<[2,16],f32>, !torch.vtensor<[],f32>, !torch.vtensor<[2,16],f32>, !torch.vtensor<[2,32],f32>
// CHECK-LABEL: func.func @update(
// CHECK-DAG: %[[LISTED:.*]] = torch.prim.ListConstruct %arg2, %arg5 :
// CHECK-DAG: %[[D:.*]] = torch.aten.cat %[[LISTED]], %int0 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[4,32],f32>
// CHECK-DAG: %[[XS:.*]] = torch.prim.ListConstruct %arg1, %arg4 :
// CHECK-DAG: %[[X:.*]] = torch.aten.cat %[[XS]], %int0 : !torch.list<vtensor>, !torch.int -> !torch.vtensor<[4,16],f32>
// CHECK: %[[DT:.*]] = torch.aten.permute %[[D]]
// CHECK: %[[DW:.*]] = torch.aten.mm %[[DT]], %[[X]]
// CHECK: "sparsebp.update"(%[[DW]])
"sparsebp.parameter"() {sym_name = "w", type = tensor<32x16xf32>, role = "parameter", dimensions = ["output_channels", "input_channels"], channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[4,16],f32>, %t: !torch.vtensor<[4,32],f32>) -> (!torch.vtensor<[],f32>, !torch.vtensor<[4,16],f32>) {
  %none = torch.constant.none
  %0 = torch.constant.int 0
  %1 = torch.constant.int 1
  %swapped = torch.prim.ListConstruct %1, %0 : (!torch.int, !torch.int) -> !torch.list<int>
  %d = torch.aten.exp %t : !torch.vtensor<[4,32],f32> -> !torch.vtensor<[4,32],f32>
  %loss = torch.aten.sum %d, %none : !torch.vtensor<[4,32],f32>, !torch.none -> !torch.vtensor<[],f32>
  %dt = torch.aten.permute %d, %swapped : !torch.vtensor<[4,32],f32>, !torch.list<int> -> !torch.vtensor<[32,4],f32>
  %dw = torch.aten.mm %dt, %x : !torch.vtensor<[32,4],f32>, !torch.vtensor<[4,16],f32> -> !torch.vtensor<[32,16],f32>
  "sparsebp.update"(%dw) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[32,16],f32>) -> ()
  return %loss, %x : !torch.vtensor<[],f32>, !torch.vtensor<[4,16],f32>
}
