// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fuse-weight-update{rows=2})' | filecheck %s
// RUN: pock-opt %s --split-input-file --pass-pipeline='builtin.module(sparsebp-fuse-weight-update)' | filecheck %s --check-prefix=NONE

#nk = affine_map<(d0, d1) -> (d0, d1)>
#scalar = affine_map<(d0, d1) -> ()>

// Without rows the program stays as it is.
// NONE: func.func @step
// NONE-NOT: ["parallel", "reduction"]

// Of one row: the gradient is a sum over the rows of the weight, each of which is updated as it is read.
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1) -> (d0)>
// CHECK-DAG: #[[N:.*]] = affine_map<(d0, d1) -> (d1)>
// CHECK-DAG: #[[NK:.*]] = affine_map<(d0, d1) -> (d1, d0)>
// CHECK-DAG: #[[S:.*]] = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: func.func @step
func.func @step(%g: tensor<1x512xf32>, %x: tensor<1x256xf32>, %lr: tensor<f32>, %w: tensor<512x256xf32> {iree.abi.output = 1 : index}) -> (tensor<1x256xf32>, tensor<512x256xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x256xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<1x256xf32>) -> tensor<1x256xf32>
  // CHECK: %[[G:.*]] = tensor.collapse_shape %arg0 {{\[}}[0, 1]]
  // CHECK: %[[X:.*]] = tensor.collapse_shape %arg1 {{\[}}[0, 1]]
  // CHECK: %[[Z:.*]] = linalg.fill {{.*}} -> tensor<256xf32>
  // CHECK: %[[R:.*]]:2 = linalg.generic {indexing_maps = [#[[N]], #[[NK]], #[[K]], #[[S]], #[[K]], #[[NK]]], iterator_types = ["parallel", "reduction"]}
  // CHECK-SAME: ins(%[[G]], %arg3, %[[X]], %arg2 : {{.*}}) outs(%[[Z]], %{{.*}} : tensor<256xf32>, tensor<512x256xf32>)
  // CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32, %[[C:.*]]: f32, %[[L:.*]]: f32, %[[T:.*]]: f32, %{{.*}}: f32):
  // CHECK-NEXT: %[[P:.*]] = arith.mulf %[[A]], %[[B]]
  // CHECK-NEXT: %[[D:.*]] = arith.addf %[[T]], %[[P]]
  // CHECK-NEXT: %[[W:.*]] = arith.mulf %[[A]], %[[C]]
  // CHECK-NEXT: %[[M:.*]] = arith.mulf %[[W]], %[[L]]
  // CHECK-NEXT: %[[V:.*]] = arith.subf %[[B]], %[[M]]
  // CHECK-NEXT: linalg.yield %[[D]], %[[V]]
  // CHECK: %[[O:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[R]]#0)
  // CHECK: %[[DX:.*]] = tensor.expand_shape %[[O]]
  // CHECK-NOT: linalg
  // CHECK: return %[[DX]], %[[R]]#1
  %dx = linalg.matmul ins(%g, %w : tensor<1x512xf32>, tensor<512x256xf32>) outs(%zeros : tensor<1x256xf32>) -> tensor<1x256xf32>
  %et = tensor.empty() : tensor<512x1xf32>
  %gt = linalg.transpose ins(%g : tensor<1x512xf32>) outs(%et : tensor<512x1xf32>) permutation = [1, 0]
  %ew = tensor.empty() : tensor<512x256xf32>
  %zw = linalg.fill ins(%zero : f32) outs(%ew : tensor<512x256xf32>) -> tensor<512x256xf32>
  %dw = linalg.matmul ins(%gt, %x : tensor<512x1xf32>, tensor<1x256xf32>) outs(%zw : tensor<512x256xf32>) -> tensor<512x256xf32>
  %s = linalg.generic {indexing_maps = [#nk, #scalar, #nk], iterator_types = ["parallel", "parallel"]} ins(%dw, %lr : tensor<512x256xf32>, tensor<f32>) outs(%ew : tensor<512x256xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<512x256xf32>
  %new = linalg.generic {indexing_maps = [#nk, #nk, #nk], iterator_types = ["parallel", "parallel"]} ins(%w, %s : tensor<512x256xf32>, tensor<512x256xf32>) outs(%ew : tensor<512x256xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.subf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<512x256xf32>
  return %dx, %new : tensor<1x256xf32>, tensor<512x256xf32>
}

// -----

#nk = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#scalar = affine_map<(d0, d1, d2, d3) -> ()>
#mk = affine_map<(d0, d1, d2) -> (d0, d2)>
#kn = affine_map<(d0, d1, d2) -> (d2, d1)>
#mn = affine_map<(d0, d1, d2) -> (d0, d1)>

// Of two rows, and the weight of a pointwise convolution, with its momentum: each row is a result, and so is the
// momentum. The number that is computed behind the gradient comes in front of it.
// CHECK-LABEL: func.func @step
func.func @step(%g: tensor<2x256xf32>, %x: tensor<2x256xf32>, %lr: tensor<f32>, %w: tensor<256x256x1x1xf32> {iree.abi.output = 1 : index}, %m: tensor<256x256x1x1xf32> {iree.abi.output = 2 : index}) -> (tensor<2x256xf32>, tensor<256x256x1x1xf32>, tensor<256x256x1x1xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x256xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<2x256xf32>) -> tensor<2x256xf32>
  %w2 = tensor.collapse_shape %w [[0], [1, 2, 3]] : tensor<256x256x1x1xf32> into tensor<256x256xf32>
  // CHECK: %[[TWICE:.*]] = linalg.generic {{.*}} ins(%arg2 : tensor<f32>)
  // CHECK-DAG: %{{.*}} = tensor.extract_slice %arg0[0, 0] [1, 256] [1, 1]
  // CHECK-DAG: %{{.*}} = tensor.extract_slice %arg0[1, 0] [1, 256] [1, 1]
  // CHECK-DAG: %{{.*}} = tensor.extract_slice %arg1[0, 0] [1, 256] [1, 1]
  // CHECK-DAG: %{{.*}} = tensor.extract_slice %arg1[1, 0] [1, 256] [1, 1]
  // CHECK: %[[R:.*]]:4 = linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]
  // CHECK-SAME: outs({{.*}} : tensor<256xf32>, tensor<256xf32>, tensor<256x256xf32>, tensor<256x256xf32>)
  // CHECK: %[[ONE:.*]] = tensor.insert_slice %[[R]]#0 into %{{.*}}[0, 0]
  // CHECK: %[[BOTH:.*]] = tensor.insert_slice %[[R]]#1 into %[[ONE]][1, 0]
  // CHECK: %[[DX:.*]] = "iree_tensor_ext.compute_barrier.start"(%[[BOTH]])
  // CHECK-NOT: linalg
  // CHECK: return %[[DX]], %{{.*}}, %{{.*}} : tensor<2x256xf32>, tensor<256x256x1x1xf32>
  %dx = linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]} ins(%g, %w2 : tensor<2x256xf32>, tensor<256x256xf32>) outs(%zeros : tensor<2x256xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    %2 = arith.addf %o, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x256xf32>
  %gb = "iree_tensor_ext.compute_barrier.start"(%g) : (tensor<2x256xf32>) -> tensor<2x256xf32>
  %et = tensor.empty() : tensor<256x2xf32>
  %gt = linalg.transpose ins(%gb : tensor<2x256xf32>) outs(%et : tensor<256x2xf32>) permutation = [1, 0]
  %ew = tensor.empty() : tensor<256x256xf32>
  %zw = linalg.fill ins(%zero : f32) outs(%ew : tensor<256x256xf32>) -> tensor<256x256xf32>
  %dw = linalg.matmul ins(%gt, %x : tensor<256x2xf32>, tensor<2x256xf32>) outs(%zw : tensor<256x256xf32>) -> tensor<256x256xf32>
  %d = tensor.expand_shape %dw [[0], [1, 2, 3]] output_shape [256, 256, 1, 1] : tensor<256x256xf32> into tensor<256x256x1x1xf32>
  %e0 = tensor.empty() : tensor<f32>
  %twice = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []} ins(%lr : tensor<f32>) outs(%e0 : tensor<f32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.addf %a, %a : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  %e4 = tensor.empty() : tensor<256x256x1x1xf32>
  %momentum = linalg.generic {indexing_maps = [#nk, #nk, #nk], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%m, %d : tensor<256x256x1x1xf32>, tensor<256x256x1x1xf32>) outs(%e4 : tensor<256x256x1x1xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<256x256x1x1xf32>
  %new = linalg.generic {indexing_maps = [#nk, #nk, #scalar, #nk], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%w, %momentum, %twice : tensor<256x256x1x1xf32>, tensor<256x256x1x1xf32>, tensor<f32>) outs(%e4 : tensor<256x256x1x1xf32>) {
  ^bb0(%a: f32, %b: f32, %l: f32, %o: f32):
    %1 = arith.mulf %b, %l : f32
    %2 = arith.subf %a, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<256x256x1x1xf32>
  return %dx, %new, %momentum : tensor<2x256xf32>, tensor<256x256x1x1xf32>, tensor<256x256x1x1xf32>
}
