// RUN: pock-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-schedule-updates)'

"sparsebp.parameter"() {sym_name = "w", type = tensor<2xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// A read behind the assign would see the new value now and, moved, the old one.
func.func @step(%x: !torch.vtensor<[2],f32>) -> !torch.vtensor<[2],f32> {
  "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2],f32>) -> ()
  // expected-error @+1 {{reads @w behind its assign; read it in front}}
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[2],f32>
  return %w : !torch.vtensor<[2],f32>
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// One storage cannot take two values.
func.func @step(%x: !torch.vtensor<[2],f32>) {
  "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2],f32>) -> ()
  // expected-error @+1 {{assigns @w a second time}}
  "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2],f32>) -> ()
  return
}

// -----

"sparsebp.parameter"() {sym_name = "w", type = tensor<2x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// The caller would find the new value in the result.
func.func @step(%x: !torch.vtensor<[2,2],f32>) -> !torch.vtensor<[2,2],f32> {
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[2,2],f32>
  %t = torch.aten.t %w : !torch.vtensor<[2,2],f32> -> !torch.vtensor<[2,2],f32>
  "sparsebp.assign"(%x) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2,2],f32>) -> ()
  // expected-error @+1 {{returns the old value of @w, which is overwritten}}
  return %t : !torch.vtensor<[2,2],f32>
}
