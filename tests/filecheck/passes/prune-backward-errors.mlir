// RUN: not pock-opt %s --sparsebp-prune-backward 2>&1 | filecheck %s

"sparsebp.parameter"() {sym_name = "w", type = tensor<4x3xf32>, dimensions = ["in", "out"], role = "parameter", mask = #sparsebp.mask<"range", "in", array<i64: 0, 1>>} : () -> ()

// A gradient that has been sliced cannot be sliced again: its channels are no longer those of the parameter.
// CHECK: prune-backward-errors.mlir:8:3: error: the gradient of @w is that of #sparsebp.mask<"range", "in", array<i64: 2, 4>> and cannot become that of #sparsebp.mask<"range", "in", array<i64: 0, 1>>; prune a program whose gradients are whole
func.func @step(%g: !torch.vtensor<[2,3],f32>) {
  "sparsebp.update"(%g) {symbol = @w, mask = #sparsebp.mask<"range", "in", array<i64: 2, 4>>} : (!torch.vtensor<[2,3],f32>) -> ()
  return
}
