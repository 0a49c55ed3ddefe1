// RUN: pock-opt %s --split-input-file --verify-diagnostics

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// What is written is declared.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{'sparsebp.update' op refers to @nothing, which nothing declares}}
  "sparsebp.update"(%value) {symbol = @nothing, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value has the shape that the mask selects.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{has !torch.vtensor<[4,2],f32> for @w, whose shape here is [4, 1]}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 1>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The mask fits the declaration.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{does not fit @w: mask names dimension 'rows', the tensor has ['output_channels', 'input_channels']}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"range", "rows", array<i64: 0, 1>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The mask stays within the declared shape.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{does not fit @w: mask reaches channel 4 of 'input_channels', which has 2}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 5>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The mask contradicts nothing.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{mask 'full' takes no dimension and no indices}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "input_channels", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value has the declared element type.
func.func @step(%value: !torch.vtensor<[4,2],f64>) {
  // expected-error@below {{has !torch.vtensor<[4,2],f64> for @w of tensor<4x2xf32>}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f64>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value is a torch tensor.
func.func @step(%value: tensor<4x2xf32>) {
  // expected-error@below {{gradient must be a static !torch.vtensor}}
  "sparsebp.update"(%value) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (tensor<4x2xf32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// A mask is needed.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{needs the attribute mask}}
  "sparsebp.update"(%value) {symbol = @w} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// There is a value.
func.func @step() {
  // expected-error@below {{takes 1 operands (gradient), got 0}}
  "sparsebp.update"() {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// State has no gradient.
func.func @step(%value: !torch.vtensor<[4,2],f32>) {
  // expected-error@below {{updates @w.momentum, which is not a parameter}}
  "sparsebp.update"(%value) {symbol = @w.momentum, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,2],f32>) -> ()
  return
}
