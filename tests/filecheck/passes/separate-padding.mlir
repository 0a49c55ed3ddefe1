// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-separate-padding)' | filecheck %s

// What is computed is kept apart from the padding that is put before it, however it was computed.
// CHECK-LABEL: func.func @computed
func.func @computed(%x: tensor<4x4xi8>, %y: tensor<4xf32>) -> (tensor<5x4xf32>, tensor<6xf32>) {
  %zero = arith.constant 0.0 : f32
  // CHECK: %[[FLOATS:.*]] = arith.sitofp
  %floats = arith.sitofp %x : tensor<4x4xi8> to tensor<4x4xf32>
  // CHECK: %[[APART:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[FLOATS]]) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  // CHECK: tensor.pad %[[APART]] low[1, 0] high[0, 0]
  %p = tensor.pad %floats low[1, 0] high[0, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<4x4xf32> to tensor<5x4xf32>
  // CHECK: %[[PART:.*]] = tensor.extract_slice
  %part = tensor.extract_slice %y[1] [3] [1] : tensor<4xf32> to tensor<3xf32>
  // CHECK: %[[OTHER:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[PART]]) : (tensor<3xf32>) -> tensor<3xf32>
  // CHECK: tensor.pad %[[OTHER]] low[2] high[1]
  %q = tensor.pad %part low[2] high[1] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<3xf32> to tensor<6xf32>
  return %p, %q : tensor<5x4xf32>, tensor<6xf32>
}

// -----

// A size of padding that is not constant may be anything.
// CHECK-LABEL: func.func @unknown
func.func @unknown(%x: tensor<4xi8>, %size: index) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %floats = arith.sitofp %x : tensor<4xi8> to tensor<4xf32>
  // CHECK: %[[APART:.*]] = "iree_tensor_ext.compute_barrier.start"
  // CHECK: tensor.pad %[[APART]] low[%{{.*}}]
  %p = tensor.pad %floats low[%size] high[0] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<4xf32> to tensor<?xf32>
  return %p : tensor<?xf32>
}

// -----

// Nothing changes where elements keep their places, or where arguments or what is behind a barrier is padded.
// CHECK-LABEL: func.func @apart
func.func @apart(%x: tensor<4xf32>, %y: tensor<4xi8>) -> (tensor<5xf32>, tensor<5xf32>, tensor<5xf32>) {
  %zero = arith.constant 0.0 : f32
  %floats = arith.sitofp %y : tensor<4xi8> to tensor<4xf32>
  // CHECK: tensor.pad %{{.*}} low[0] high[1]
  %behind = tensor.pad %floats low[0] high[1] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<4xf32> to tensor<5xf32>
  // CHECK: tensor.pad %arg0 low[1] high[0]
  %argument = tensor.pad %x low[1] high[0] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<4xf32> to tensor<5xf32>
  // CHECK: %[[ONE:.*]] = "iree_tensor_ext.compute_barrier.start"
  // CHECK-NOT: compute_barrier
  %one = "iree_tensor_ext.compute_barrier.start"(%floats) : (tensor<4xf32>) -> tensor<4xf32>
  // CHECK: tensor.pad %[[ONE]] low[1] high[0]
  %behind_it = tensor.pad %one low[1] high[0] {
  ^bb0(%i: index):
    tensor.yield %zero : f32
  } : tensor<4xf32> to tensor<5xf32>
  return %behind, %argument, %behind_it : tensor<5xf32>, tensor<5xf32>, tensor<5xf32>
}
