// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-connect-ranks{scheduler=vax})' 2>&1 | filecheck %s

// Of other schedulers it is not known how they are asked.
// CHECK: scheduler = vax: expected one of x86_64, aarch64
func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "sparsebp.all_reduce"(%x) {rank = 0 : i64, ranks = 2 : i64} : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
