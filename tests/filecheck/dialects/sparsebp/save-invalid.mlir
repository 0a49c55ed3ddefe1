// RUN: pock-opt %s --split-input-file --verify-diagnostics

// What is saved has the shape of the input.
func.func @invalid(%input: !torch.vtensor<[4,5],f32>) {
  // expected-error@below {{the result is the input, !torch.vtensor<[4,5],f32>, not !torch.vtensor<[5,4],f32>}}
  %0 = "sparsebp.save"(%input) : (!torch.vtensor<[4,5],f32>) -> !torch.vtensor<[5,4],f32>
  return
}
