// RUN: pock-opt %s | pock-opt - | filecheck %s


// The momentum of a parameter, zero at first.
// CHECK: "sparsebp.state"() {initial = 0.000000e+00 : f32, parameter = "w", role = "optimizer", slot = "momentum", sym_name = "w.momentum", type = tensor<4x2xf32>}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// The count of steps.
// CHECK: "sparsebp.state"() {initial = 0 : i64, role = "step", sym_name = "step", type = tensor<i64>}
"sparsebp.state"() {sym_name = "step", type = tensor<i64>, role = "step", initial = 0 : i64} : () -> ()

// The seed of dropout.
// CHECK: "sparsebp.state"() {initial = 42 : i64, role = "seed", sym_name = "seed", type = tensor<i64>}
"sparsebp.state"() {sym_name = "seed", type = tensor<i64>, role = "seed", initial = 42 : i64} : () -> ()

// State outlives canonicalization although nothing uses it.
// RUN: pock-opt %s --canonicalize --cse | filecheck %s
