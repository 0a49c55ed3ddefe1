// RUN: pock-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-materialize-state)'

"sparsebp.parameter"() {sym_name = "w", type = tensor<2xf32>, dimensions = ["channels"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// An update says what to do with a gradient and not yet what the new value is.
func.func @step(%g: !torch.vtensor<[2],f32>) {
  // expected-error @+1 {{an update is left: run sparsebp-expand-optimizer first}}
  "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[2],f32>) -> ()
  return
}

// -----

// The pass makes a function of that name, once.
// expected-error @+1 {{there is a function @init already}}
func.func @init() {
  return
}
func.func @step() {
  return
}
