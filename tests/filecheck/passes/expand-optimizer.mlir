// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer{optimizer=sgd:momentum=0.9},canonicalize,cse)' | filecheck %s
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer{optimizer=sgd},canonicalize,cse)' | filecheck %s --check-prefix=PLAIN
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer{optimizer=adamw:clip_grad_norm=0.5,runtime=weight_decay},canonicalize,cse)' | filecheck %s --check-prefix=ADAMW
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer{optimizer=lion},canonicalize,cse)' | filecheck %s --check-prefix=LION
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer{optimizer=sgd:momentum=-1})' 2>&1 | filecheck %s --check-prefix=RANGE
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-expand-optimizer,sparsebp-expand-optimizer)' 2>&1 | filecheck %s --check-prefix=TWICE

// A mistake in the optimizer is one line.
// RANGE: error: optimizer sgd: momentum must not be negative, got -1
// Updates are expanded once.
// TWICE: error: the optimizer has been expanded already

"sparsebp.parameter"() {sym_name = "w", type = tensor<3x4xf32>, dimensions = ["output_channels", "input_channels"],
  role = "parameter", mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>} : () -> ()
"sparsebp.parameter"() {sym_name = "b", type = tensor<3xbf16>, dimensions = ["channels"], role = "parameter",
  mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// State has the shape of the slice that is trained, and is f32.
// CHECK: "sparsebp.state"() {initial = 0.000000e+00 : f32, parameter = "w", role = "optimizer", slot = "momentum", sym_name = "w#momentum", type = tensor<3x2xf32>}
// CHECK: "sparsebp.state"() {initial = 0.000000e+00 : f32, parameter = "b", role = "optimizer", slot = "momentum", sym_name = "b#momentum", type = tensor<3xf32>}

// Plain SGD has no state.
// PLAIN-NOT: sparsebp.state

// Adam counts steps, once for all parameters.
// ADAMW: "sparsebp.state"() {initial = 0 : i64, role = "step", sym_name = "#step", type = tensor<i64>}
// ADAMW: sym_name = "w#exp_avg", type = tensor<3x2xf32>
// ADAMW: sym_name = "w#exp_avg_sq", type = tensor<3x2xf32>
// ADAMW: sym_name = "b#exp_avg", type = tensor<3xf32>
// ADAMW: sym_name = "b#exp_avg_sq", type = tensor<3xf32>

// The learning rate and the hyper-parameters that are inputs come behind the batch.
// CHECK-LABEL: func.func @step
// CHECK-SAME: %arg2: !torch.vtensor<[],f32>) attributes {sparsebp.hyperparameters = [{name = "lr"}]}
// PLAIN-LABEL: func.func @step
// ADAMW-LABEL: func.func @step
// ADAMW-SAME: %arg2: !torch.vtensor<[],f32>, %arg3: !torch.vtensor<[],f32>) attributes {sparsebp.hyperparameters = [{name = "lr"}, {default = 1.000000e-02 : f64, name = "weight_decay"}]}
// LION-LABEL: func.func @step
func.func @step(%g: !torch.vtensor<[3,2],f32>, %h: !torch.vtensor<[3],bf16>) {
  // The update of a slice reads the slice, and assigns it with the same mask.
  // CHECK: %[[W:.*]] = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[3,4],f32>
  // CHECK: %[[P:.*]] = "sparsebp.select_channels"(%[[W]]) {axis = 1 : i64, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>}
  // CHECK: %[[M:.*]] = "sparsebp.read"() {symbol = @"w#momentum"} : () -> !torch.vtensor<[3,2],f32>
  // CHECK: %[[DECAYED:.*]] = torch.aten.mul.Scalar %[[M]]
  // CHECK: %[[NEW:.*]] = torch.aten.add.Tensor %[[DECAYED]], %arg0
  // CHECK: "sparsebp.assign"(%[[NEW]]) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @"w#momentum"}
  // CHECK: %[[CHANGE:.*]] = torch.aten.mul.Tensor %[[NEW]], %arg2
  // CHECK: %[[RESULT:.*]] = torch.aten.sub.Tensor %[[P]], %[[CHANGE]]
  // CHECK: "sparsebp.assign"(%[[RESULT]]) {mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>, symbol = @w}
  // PLAIN: %[[CHANGE:.*]] = torch.aten.mul.Tensor %arg0, %arg2
  // PLAIN: torch.aten.sub.Tensor %{{.*}}, %[[CHANGE]]
  // Lion's direction is computed from the new average: nothing but that average's own update reads the old one.
  // LION: %[[OLD:.*]] = "sparsebp.read"() {symbol = @"w#exp_avg"}
  // LION: %[[KEPT:.*]] = torch.aten.mul.Scalar %[[OLD]]
  // LION: %[[GAIN:.*]] = torch.aten.mul.Scalar %arg0
  // LION: %[[NEW:.*]] = torch.aten.add.Tensor %[[KEPT]], %[[GAIN]]
  // LION-NOT: %[[OLD]]
  // LION: torch.aten.mul.Scalar %[[NEW]]
  // LION: torch.aten.sgn
  "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 2>>} : (!torch.vtensor<[3,2],f32>) -> ()

  // A bf16 parameter is updated in f32 and rounded once.
  // CHECK: %[[H:.*]] = torch.aten.to.dtype %arg1, {{.*}} -> !torch.vtensor<[3],f32>
  // CHECK: %[[B:.*]] = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[3],bf16>
  // CHECK: %[[WIDE:.*]] = torch.aten.to.dtype %[[B]], {{.*}} -> !torch.vtensor<[3],f32>
  // CHECK: %[[RESULT:.*]] = torch.aten.sub.Tensor %[[WIDE]]
  // CHECK: %[[NARROW:.*]] = torch.aten.to.dtype %[[RESULT]], {{.*}} -> !torch.vtensor<[3],bf16>
  // CHECK: "sparsebp.assign"(%[[NARROW]]) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @b}
  // CHECK-NOT: sparsebp.update

  // Clipping takes the norm of all gradients, masked as they are, before anything is updated.
  // The limit comes second: torch-mlir's minimum gives the second operand where the norm is not a number.
  // ADAMW: %[[ONE:.*]] = torch.vtensor.literal(dense<1.000000e+00> : tensor<f32>)
  // ADAMW: torch.aten.sum
  // ADAMW: torch.aten.sum
  // ADAMW-NOT: symbol = @w
  // ADAMW: %[[COEFFICIENT:.*]] = torch.aten.minimum %[[ONE]],
  // ADAMW: torch.aten.mul.Tensor %arg0, %[[COEFFICIENT]]
  // ADAMW: "sparsebp.assign"(%{{.*}}) {{.*}}symbol = @w}
  // ADAMW: "sparsebp.assign"(%{{.*}}) {{.*}}symbol = @b}
  "sparsebp.update"(%h) {symbol = @b, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3],bf16>) -> ()
  return
}
