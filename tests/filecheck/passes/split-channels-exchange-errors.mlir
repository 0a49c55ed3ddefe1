// RUN: pock-opt %s --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-split-channels{count=2})'

// Of truth values there is no sum over the ranks, so what a function returns of them cannot be put together.
"sparsebp.parameter"() {sym_name = "w", type = tensor<512x512xf32>, role = "parameter", dimensions = ["i", "o"], mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()
func.func @step(%x: !torch.vtensor<[128,512],f32>) -> !torch.vtensor<[128,512],i1> {
  %0 = torch.constant.int 0
  %w = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[512,512],f32>
  %h = torch.aten.mm %x, %w : !torch.vtensor<[128,512],f32>, !torch.vtensor<[512,512],f32> -> !torch.vtensor<[128,512],f32>
  %y = torch.aten.gt.Scalar %h, %0 : !torch.vtensor<[128,512],f32>, !torch.int -> !torch.vtensor<[128,512],i1>
  // expected-error @+1 {{takes !torch.vtensor<[128,512],i1>, of which the ranks cannot exchange what they have}}
  return %y : !torch.vtensor<[128,512],i1>
}
