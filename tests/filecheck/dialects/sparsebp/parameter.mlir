// RUN: pock-opt %s | pock-opt - | filecheck %s


// A weight of which the first input channel is trained, under PyTorch's name.
// CHECK: "sparsebp.parameter"() {dimensions = ["output_channels", "input_channels"], mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 1>>, role = "parameter", sym_name = "layers.0.weight", type = tensor<4x2xf32>}
"sparsebp.parameter"() {sym_name = "layers.0.weight", type = tensor<4x2xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 1>>} : () -> ()

// The channels of a mask may be a list.
// CHECK: mask = #sparsebp.mask<"list", "input_channels", array<i64: 0, 3, 4>>
"sparsebp.parameter"() {sym_name = "listed", type = tensor<4x5xf32>, dimensions = ["output_channels", "input_channels"], role = "parameter", mask = #sparsebp.mask<"list", "input_channels", array<i64: 0, 3, 4>>} : () -> ()

// A scalar buffer of integers, which has no dimensions to name.
// CHECK: {dimensions = [], mask = #sparsebp.mask<"none", "", array<i64>>, role = "buffer", sym_name = "num_batches_tracked", type = tensor<i64>}
"sparsebp.parameter"() {sym_name = "num_batches_tracked", type = tensor<i64>, dimensions = [], role = "buffer", mask = #sparsebp.mask<"none", "", array<i64>>} : () -> ()

// Attributes that the definition does not name are kept.
// CHECK: {dimensions = ["features"], mask = #sparsebp.mask<"full", "", array<i64>>, role = "parameter", sym_name = "noted", tied = "other", type = tensor<3xf32>}
"sparsebp.parameter"() {sym_name = "noted", type = tensor<3xf32>, dimensions = ["features"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>, tied = "other"} : () -> ()

// Declarations outlive canonicalization although nothing uses them.
// RUN: pock-opt %s --canonicalize --cse | filecheck %s
