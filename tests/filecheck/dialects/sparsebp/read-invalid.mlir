// RUN: pock-opt %s --split-input-file --verify-diagnostics

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// What is read is declared.
func.func @step() {
  // expected-error@below {{'sparsebp.read' op refers to @nothing, which nothing declares}}
  %0 = "sparsebp.read"() {symbol = @nothing} : () -> !torch.vtensor<[4,2],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value has the declared shape.
func.func @step() {
  // expected-error@below {{has !torch.vtensor<[2,4],f32> for @w, whose shape here is [4, 2]}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[2,4],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value has the declared element type.
func.func @step() {
  // expected-error@below {{has !torch.vtensor<[4,2],f64> for @w of tensor<4x2xf32>}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[4,2],f64>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The value is a torch tensor.
func.func @step() {
  // expected-error@below {{result must be a static !torch.vtensor}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> tensor<4x2xf32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The shape is static.
func.func @step() {
  // expected-error@below {{result must be a static !torch.vtensor}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[?,2],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// A name is needed.
func.func @step() {
  // expected-error@below {{needs the attribute symbol}}
  %0 = "sparsebp.read"() {} : () -> !torch.vtensor<[4,2],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The name is a reference.
func.func @step() {
  // expected-error@below {{symbol must be a reference @name, got "w"}}
  %0 = "sparsebp.read"() {symbol = "w"} : () -> !torch.vtensor<[4,2],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// Declarations do not nest.
func.func @step() {
  // expected-error@below {{symbol must be a reference @name, got @w::@w}}
  %0 = "sparsebp.read"() {symbol = @w::@w} : () -> !torch.vtensor<[4,2],f32>
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// There is a result.
func.func @step() {
  // expected-error@below {{takes 1 results (value), got 0}}
  "sparsebp.read"() {symbol = @w} : () -> ()
  return
}
