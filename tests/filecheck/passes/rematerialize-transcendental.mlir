// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-rematerialize)' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-rematerialize{transcendental=true})' | filecheck %s --check-prefix=ALL

"sparsebp.parameter"() {sym_name = "mean", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "shift", type = tensor<1x16x1x1xf32>, dimensions = ["d0", "d1", "d2", "d3"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<16xf32>, dimensions = ["d0"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Exponentials are computed again only if that is asked for: both of silu's factors are kept, or its operand.
// CHECK-LABEL: func.func @step
// CHECK-NOT: sparsebp.save
// CHECK: "sparsebp.conv_input_grad"
// CHECK-NOT: torch.aten.sigmoid
// ALL-LABEL: func.func @step
// ALL: %[[Z:.*]] = torch.aten.convolution
// ALL-NEXT: %[[S:.*]] = "sparsebp.save"(%[[Z]])
// ALL: %[[DR:.*]] = "sparsebp.conv_input_grad"
// ALL-NEXT: %[[E:.*]] = torch.aten.sigmoid %[[S]]
// ALL-NEXT: torch.aten.mul.Tensor %[[DR]], %[[E]]
// ALL: torch.aten.mul.Tensor %{{.*}}, %[[Z]]
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
  %e = torch.aten.sigmoid %z : !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %r = torch.aten.mul.Tensor %z, %e : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %y = torch.aten.convolution %r, %v, %none, %ones, %zeros, %ones, %false, %zeros, %int1 : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>, !torch.none, !torch.list<int>, !torch.list<int>, !torch.list<int>, !torch.bool, !torch.list<int>, !torch.int -> !torch.vtensor<[2,16,16,16],f32>
  %dr = "sparsebp.conv_input_grad"(%y, %v) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (!torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[16,16,1,1],f32>) -> !torch.vtensor<[2,16,16,16],f32>
  %d = torch.aten.mul.Tensor %dr, %e : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %q = torch.aten.mul.Tensor %d, %z : !torch.vtensor<[2,16,16,16],f32>, !torch.vtensor<[2,16,16,16],f32> -> !torch.vtensor<[2,16,16,16],f32>
  %db = torch.aten.sum.dim_IntList %q, %dims, %false, %none : !torch.vtensor<[2,16,16,16],f32>, !torch.list<int>, !torch.bool, !torch.none -> !torch.vtensor<[16],f32>
  "sparsebp.update"(%db) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[16],f32>) -> ()
  return %y : !torch.vtensor<[2,16,16,16],f32>
}
