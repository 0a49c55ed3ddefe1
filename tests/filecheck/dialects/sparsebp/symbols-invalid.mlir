// RUN: pock-opt %s --split-input-file --verify-diagnostics


// A name is declared once.
// expected-note@below {{see existing symbol definition here}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
// expected-error@below {{redefinition of symbol named 'w'}}
// expected-note@below {{see current operation}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// Parameters, state and functions share their names.
// expected-note@below {{see existing symbol definition here}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
// expected-error@below {{redefinition of symbol named 'w'}}
// expected-note@below {{see current operation}}
"sparsebp.state"() {sym_name = "w", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// -----

// Uses are checked in nested regions too, and all mistakes are reported.
func.func @step(%condition: i1) {
  scf.if %condition {
    // expected-error@below {{refers to @a, which nothing declares}}
    %0 = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[4],f32>
  }
  // expected-error@below {{refers to @b, which nothing declares}}
  %1 = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[4],f32>
  return
}
