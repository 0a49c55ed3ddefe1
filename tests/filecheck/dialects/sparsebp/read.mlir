// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt %s --canonicalize --cse | filecheck %s --check-prefix=CSE

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// Parameters and state are read by name.
// CHECK-LABEL: func.func @read
// CHECK: "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
// CHECK: "sparsebp.read"() {symbol = @w.momentum} : () -> !torch.vtensor<[4,2],f32>
func.func @read() -> (!torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>) {
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  %1 = "sparsebp.read"() {symbol = @w.momentum} : () -> !torch.vtensor<[4,2],f32>
  return %0, %1 : !torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>
}

// A read that nobody uses vanishes.
// CSE-LABEL: func.func @unused
// CSE-NEXT: return
func.func @unused() {
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  return
}

// Two reads without a write between them become one.
// CSE-LABEL: func.func @merged
// CSE-NEXT: %[[W:.*]] = "sparsebp.read"() {symbol = @w}
// CSE-NEXT: return %[[W]], %[[W]]
func.func @merged() -> (!torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>) {
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  %1 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  return %0, %1 : !torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>
}

// Reads of different declarations do not become one.
// CSE-LABEL: func.func @different
// CSE: "sparsebp.read"() {symbol = @w}
// CSE: "sparsebp.read"() {symbol = @w.momentum}
func.func @different() -> (!torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>) {
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  %1 = "sparsebp.read"() {symbol = @w.momentum} : () -> !torch.vtensor<[4,2],f32>
  return %0, %1 : !torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>
}

// Two reads with a write between them stay two, and the first stays before it.
// CSE-LABEL: func.func @written_between
// CSE: %[[OLD:.*]] = "sparsebp.read"()
// CSE: "sparsebp.assign"
// CSE: %[[NEW:.*]] = "sparsebp.read"()
// CSE: return %[[OLD]], %[[NEW]]
func.func @written_between(%value: !torch.vtensor<[4,2],f32>) -> (!torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>) {
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  "sparsebp.assign"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  %1 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f32>
  return %0, %1 : !torch.vtensor<[4,2],f32>, !torch.vtensor<[4,2],f32>
}
