// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: conv.wieght, update: full}]"})' 2>&1 | filecheck %s --check-prefix=NAME
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: conv*, update: none}, {match: conv.weight, update: {channels: 1.5}}]"})' 2>&1 | filecheck %s --check-prefix=RATIO
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: conv.weight, update: {channels: [2, 9]}}]"})' 2>&1 | filecheck %s --check-prefix=RANGE
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: conv.weight, updates: full}]"})' 2>&1 | filecheck %s --check-prefix=KEY
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: scale, update: {channels: 0.5}}]"})' 2>&1 | filecheck %s --check-prefix=SLICE
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{rules="[{match: unused, update: full}]"})' 2>&1 | filecheck %s --check-prefix=UNUSED
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme{scheme=%S/Inputs/no-such-file.yaml})' 2>&1 | filecheck %s --check-prefix=FILE
// RUN: not pock-opt %s --pass-pipeline='builtin.module(sparsebp-apply-scheme)' 2>&1 | filecheck %s --check-prefix=OPTION

// A pattern that matches nothing is an error with the nearest names; buffers do not count.
// NAME: error: scheme: rule 1 ("conv.wieght"): matches no parameter; the nearest are conv.weight
// A ratio is in (0, 1].
// RATIO: error: scheme: rule 2 ("conv.weight"): update.channels: the ratio must be in (0, 1], got 1.5
// Channels exist.
// RANGE: error: scheme: rule 1 ("conv.weight"): channel 9 is out of range: 'conv.weight' has 6 input channels
// A key is one of those that there are.
// KEY: error: scheme: rule 1 ("conv.weight"): unknown key "updates"; allowed: match, update
// A parameter that has no channel dimension is whole or frozen.
// SLICE: error: scheme: rule 1 ("scale"): 'scale' of shape [] has no channels to choose; use full or none
// What the loss does not depend on cannot be trained.
// UNUSED: error: scheme: rule 1 ("unused"): trains 'unused', but the loss does not depend on it
// A missing file is named.
// FILE: error: cannot read scheme {{.*}}no-such-file.yaml: No such file or directory
// The pass needs a scheme.
// OPTION: error: pass 'sparsebp-apply-scheme' needs option 'scheme' or 'rules'
"sparsebp.parameter"() {sym_name = "conv.weight", type = tensor<4x6xf32>,
  dimensions = ["output_channels", "input_channels"], role = "parameter",
  channel_dimension = "input_channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "scale", type = tensor<f32>, dimensions = [], role = "parameter",
  mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "unused", type = tensor<4xf32>, dimensions = ["channels"],
  role = "parameter", channel_dimension = "channels", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
"sparsebp.parameter"() {sym_name = "conv.wieght", type = tensor<4xf32>, dimensions = ["channels"],
  role = "buffer", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()
func.func @step(%w: !torch.vtensor<[4,6],f32>, %s: !torch.vtensor<[],f32>) {
  "sparsebp.update"(%w) {symbol = @conv.weight, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[4,6],f32>) -> ()
  "sparsebp.update"(%s) {symbol = @scale, mask = #sparsebp.mask<"full", "", array<i64>>} : (!torch.vtensor<[],f32>) -> ()
  return
}
