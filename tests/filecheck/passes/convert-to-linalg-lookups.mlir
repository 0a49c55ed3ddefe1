// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-convert-to-linalg,canonicalize,cse)' | filecheck %s

// A range of channels is a slice.
// CHECK-LABEL: func.func @range
// CHECK: tensor.extract_slice %{{.*}}[0, 1, 0] [2, 2, 8] [1, 1, 1] : tensor<2x4x8xf32> to tensor<2x2x8xf32>
// CHECK-NOT: linalg.generic
func.func @range(%x: !torch.vtensor<[2,4,8],f32>) -> !torch.vtensor<[2,2,8],f32> {
  %y = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"range", "c", array<i64: 1, 3>>} : (!torch.vtensor<[2,4,8],f32>) -> !torch.vtensor<[2,2,8],f32>
  return %y : !torch.vtensor<[2,2,8],f32>
}

// So it is of channels that are adjacent in every so many: here the second of three, twice.
// CHECK-LABEL: func.func @periods
// CHECK: %[[X:.*]] = tensor.expand_shape %{{.*}} : tensor<2x6x8xf32> into tensor<2x2x3x8xf32>
// CHECK: %[[S:.*]] = tensor.extract_slice %[[X]][0, 0, 1, 0] [2, 2, 1, 8] [1, 1, 1, 1] : tensor<2x2x3x8xf32> to tensor<2x2x1x8xf32>
// CHECK: tensor.collapse_shape %[[S]] {{.*}} into tensor<2x2x8xf32>
// CHECK-NOT: linalg.generic
func.func @periods(%x: !torch.vtensor<[2,6,8],f32>) -> !torch.vtensor<[2,2,8],f32> {
  %y = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"list", "c", array<i64: 1, 4>>} : (!torch.vtensor<[2,6,8],f32>) -> !torch.vtensor<[2,2,8],f32>
  return %y : !torch.vtensor<[2,2,8],f32>
}

// Another list of channels is a gather.
// CHECK-LABEL: func.func @list
// CHECK-DAG: dense<[0, 3]> : tensor<2xi32>
// CHECK: linalg.generic
// CHECK: tensor.extract
func.func @list(%x: !torch.vtensor<[2,4,8],f32>) -> !torch.vtensor<[2,2,8],f32> {
  %y = "sparsebp.select_channels"(%x) {axis = 1 : i64, mask = #sparsebp.mask<"list", "c", array<i64: 0, 3>>} : (!torch.vtensor<[2,4,8],f32>) -> !torch.vtensor<[2,2,8],f32>
  return %y : !torch.vtensor<[2,2,8],f32>
}

// The gradient of a small table is the product with a one-hot matrix.
// CHECK-LABEL: func.func @few_rows
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<10x8xf32>, tensor<8x4xf32>) outs(%{{.*}} : tensor<10x4xf32>)
func.func @few_rows(%g: !torch.vtensor<[2,4,4],f32>, %i: !torch.vtensor<[2,4],si64>) -> !torch.vtensor<[10,4],f32> {
  %dw = "sparsebp.embedding_grad"(%g, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,4,4],f32>, !torch.vtensor<[2,4],si64>) -> !torch.vtensor<[10,4],f32>
  return %dw : !torch.vtensor<[10,4],f32>
}

// That of a large one sums the chains of equal indices, eight positions in three rounds; no scatter, no atomics.
// CHECK-LABEL: func.func @many_rows
// CHECK-NOT: scatter
// CHECK-COUNT-3: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<9x4xf32>, tensor<9xi32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<1000x4xf32>)
// CHECK-NOT: scatter
// CHECK: return
func.func @many_rows(%g: !torch.vtensor<[2,4,4],f32>, %i: !torch.vtensor<[2,4],si64>) -> !torch.vtensor<[1000,4],f32> {
  %dw = "sparsebp.embedding_grad"(%g, %i) {first_row = 0 : i64, padding_idx = -1 : i64, scale_grad_by_freq = false} : (!torch.vtensor<[2,4,4],f32>, !torch.vtensor<[2,4],si64>) -> !torch.vtensor<[1000,4],f32>
  return %dw : !torch.vtensor<[1000,4],f32>
}

// The bits of dropout: ten rounds of two products.
// CHECK-LABEL: func.func @random_mask
// CHECK-COUNT-20: arith.muli %{{.*}} : i64
// CHECK-NOT: arith.muli
// CHECK: arith.cmpi ult
// CHECK: tensor.extract_slice %{{.*}}[0] [15] [1]
func.func @random_mask(%seed: !torch.vtensor<[],si64>, %step: !torch.vtensor<[],si64>) -> !torch.vtensor<[3,5],i1> {
  %m = "sparsebp.random_mask"(%seed, %step) {stream = 1 : i64, probability = 9.000000e-01 : f64} : (!torch.vtensor<[],si64>, !torch.vtensor<[],si64>) -> !torch.vtensor<[3,5],i1>
  return %m : !torch.vtensor<[3,5],i1>
}
