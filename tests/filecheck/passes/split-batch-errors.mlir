// RUN: pock-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-split-batch{count=2})'

// The largest of all samples is not made of two parts.
func.func @step(%x: !torch.vtensor<[8],f32>) -> !torch.vtensor<[],f32> {
  %loss = torch.aten.max %x : !torch.vtensor<[8],f32> -> !torch.vtensor<[],f32>
  // expected-error @+1 {{the loss is not made of 2 equal parts of the batch}}
  return %loss : !torch.vtensor<[],f32>
}

// -----

// Nor is a batch of 7 samples.
// expected-error @+1 {{no input has a batch that 2 parts can be made of}}
func.func @step(%x: !torch.vtensor<[7],f32>) -> !torch.vtensor<[],f32> {
  %none = torch.constant.none
  %loss = torch.aten.sum %x, %none : !torch.vtensor<[7],f32>, !torch.none -> !torch.vtensor<[],f32>
  return %loss : !torch.vtensor<[],f32>
}
