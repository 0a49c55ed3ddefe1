// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{scheme=%S/Inputs/half.yaml})' | filecheck %s
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: features.weight, update: {channels: {range: [2, 5]}}}, {match: table, update: {channels: [0, 2]}}]"})' | filecheck %s --check-prefix=LIST
// RUN: pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{scheme=%S/Inputs/full-then-none.yaml})' | filecheck %s --check-prefix=NONE

// A ratio selects the first half of the channels, rounded up, along the dimension that the front end named.
// CHECK: mask = #sparsebp.mask<"range", "input_channels", array<i64: 0, 4>>{{.*}}sym_name = "features.weight"
// LIST: mask = #sparsebp.mask<"range", "input_channels", array<i64: 2, 5>>{{.*}}sym_name = "features.weight"
// NONE: mask = #sparsebp.mask<"none", "", array<i64>>{{.*}}sym_name = "features.weight"
"sparsebp.parameter"() {sym_name = "features.weight", type = tensor<4x7x3x3xf32>,
  dimensions = ["output_channels", "input_channels", "kernel_height", "kernel_width"], role = "parameter",
  channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// What no rule matches is frozen.
// CHECK: mask = #sparsebp.mask<"none", "", array<i64>>{{.*}}sym_name = "features.bias"
// LIST: mask = #sparsebp.mask<"none", "", array<i64>>{{.*}}sym_name = "features.bias"
// NONE: mask = #sparsebp.mask<"none", "", array<i64>>{{.*}}sym_name = "features.bias"
"sparsebp.parameter"() {sym_name = "features.bias", type = tensor<4xf32>, dimensions = ["channels"],
  role = "parameter", channel_dimension = "channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// Of the rules that match a parameter the last one counts.
// CHECK: mask = #sparsebp.mask<"full", "", array<i64>>{{.*}}sym_name = "classifier.weight"
"sparsebp.parameter"() {sym_name = "classifier.weight", type = tensor<3x4xf32>,
  dimensions = ["output_channels", "input_channels"], role = "parameter",
  channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// A list of channels stays a list where it has gaps.
// LIST: mask = #sparsebp.mask<"list", "rows", array<i64: 0, 2>>{{.*}}sym_name = "table"
"sparsebp.parameter"() {sym_name = "table", type = tensor<3x4xf32>, dimensions = ["rows", "width"],
  role = "parameter", channel_dimension = "rows", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// No rule touches a buffer, not even one that matches every name.
// NONE: mask = #sparsebp.mask<"full", "", array<i64>>{{.*}}sym_name = "running_mean"
"sparsebp.parameter"() {sym_name = "running_mean", type = tensor<4xf32>, dimensions = ["channels"],
  role = "buffer", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// The loss does not depend on this one: a rule with wildcards that also matches others leaves it frozen.
// CHECK: mask = #sparsebp.mask<"none", "", array<i64>>{{.*}}sym_name = "unused.weight"
"sparsebp.parameter"() {sym_name = "unused.weight", type = tensor<4xf32>, dimensions = ["channels"],
  role = "parameter", channel_dimension = "channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// The functions stay as they are: pruning is a pass of its own.
// CHECK-LABEL: func.func @step
// CHECK: "sparsebp.update"(%{{.*}}) {mask = #sparsebp.mask<"full", "", array<i64>>, symbol = @features.weight}
func.func @step(%w: !torch.vtensor<[4,7,3,3],f32>, %b: !torch.vtensor<[4],f32>, %c: !torch.vtensor<[3,4],f32>) {
  "sparsebp.update"(%w) {symbol = @features.weight, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,7,3,3],f32>) -> ()
  "sparsebp.update"(%b) {symbol = @features.bias, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4],f32>) -> ()
  "sparsebp.update"(%c) {symbol = @classifier.weight, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  "sparsebp.update"(%c) {symbol = @table, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[3,4],f32>) -> ()
  return
}
