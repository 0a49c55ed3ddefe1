// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-split-channels{count=2 rank=2})' 2>&1 | filecheck %s

// A rank is one of as many.
// CHECK: rank = 2: expected 0 to 1
func.func @step(%x: !torch.vtensor<[4],f32>) -> !torch.vtensor<[4],f32> {
  return %x : !torch.vtensor<[4],f32>
}
