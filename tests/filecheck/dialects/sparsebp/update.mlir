// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The whole parameter.
// CHECK-LABEL: func.func @whole
// CHECK: "sparsebp.update"(%{{.*}}) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @w} : (!torch.vtensor<[4,2],f32>) -> ()
func.func @whole(%value: !torch.vtensor<[4,2],f32>) {
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// The second input channel.
// CHECK-LABEL: func.func @channel
// CHECK: "sparsebp.update"(%{{.*}}) {mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 2>>, symbol = @w} : (!torch.vtensor<[4,1],f32>) -> ()
func.func @channel(%value: !torch.vtensor<[4,1],f32>) {
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 1, 2>>} : (!torch.vtensor<[4,1],f32>) -> ()
  return
}

// Listed output channels.
// CHECK-LABEL: func.func @listed
// CHECK: "sparsebp.update"(%{{.*}}) {mask = #sparsebp.mask<"list", "output_channels", array<i64: 0, 2, 3>>, symbol = @w} : (!torch.vtensor<[3,2],f32>) -> ()
func.func @listed(%value: !torch.vtensor<[3,2],f32>) {
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"list", "output_channels", array<i64: 0, 2, 3>>} : (!torch.vtensor<[3,2],f32>) -> ()
  return
}

// Neither of two equal writes vanishes.
// CHECK-LABEL: func.func @twice
// CHECK-NEXT: "sparsebp.update"
// CHECK-NEXT: "sparsebp.update"
func.func @twice(%value: !torch.vtensor<[4,2],f32>) {
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}
