// RUN: pock-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-prune-backward)'

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"range", "in", array<i64: 0, 1>>} : () -> ()

// A gradient that has been sliced cannot be sliced again: its channels are no longer those of the parameter.
func.func @step(%g: !torch.vtensor<[2,3],f32>) {
  // expected-error @+1 {{the gradient of @w is that of #sparsebp.mask<"range", "in", array<i64: 2, 4>> and cannot become that of #sparsebp.mask<"range", "in", array<i64: 0, 1>>; prune a program whose gradients are whole}}
  "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"range", "in", array<i64: 2, 4>>} : (!torch.vtensor<[2,3],f32>) -> ()
  return
}
