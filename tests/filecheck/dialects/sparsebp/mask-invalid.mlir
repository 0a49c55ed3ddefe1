// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Masks are of four kinds.
// expected-error@below {{mask kind must be one of none, full, range, list, got "some"}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"some", "", array<i64>>} : () -> ()

// -----

// A mask is a mask and not a string.
// expected-error@below {{mask must be a #sparsebp.mask, got "full"}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = "full"} : () -> ()

// -----

// A mask of everything names no dimension.
// expected-error@below {{mask 'full' takes no dimension and no indices}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "i", array<i64>>} : () -> ()

// -----

// A mask of nothing has no indices.
// expected-error@below {{mask 'none' takes no dimension and no indices}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"none", "", array<i64: 0>>} : () -> ()

// -----

// A range is along a dimension.
// expected-error@below {{mask 'range' needs the name of a dimension}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "", array<i64: 0, 1>>} : () -> ()

// -----

// A range has two ends.
// expected-error@below {{mask range must be [begin, end) with 0 <= begin < end, got [1]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "i", array<i64: 1>>} : () -> ()

// -----

// A range is not empty.
// expected-error@below {{mask range must be [begin, end) with 0 <= begin < end, got [1, 1]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "i", array<i64: 1, 1>>} : () -> ()

// -----

// A range begins at zero or behind it.
// expected-error@below {{mask range must be [begin, end) with 0 <= begin < end, got [-1, 1]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "i", array<i64: -1, 1>>} : () -> ()

// -----

// A range ends within the tensor.
// expected-error@below {{mask reaches channel 2 of 'i', which has 2}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "i", array<i64: 0, 3>>} : () -> ()

// -----

// A list is not empty.
// expected-error@below {{mask list needs at least one channel, and none below zero}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"list", "i", array<i64>>} : () -> ()

// -----

// A list holds no channel twice.
// expected-error@below {{mask list must be strictly increasing, got [1, 1]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"list", "i", array<i64: 1, 1>>} : () -> ()

// -----

// A list is in order.
// expected-error@below {{mask list must be strictly increasing, got [1, 0]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"list", "i", array<i64: 1, 0>>} : () -> ()

// -----

// A list stays within the tensor.
// expected-error@below {{mask reaches channel 9 of 'i', which has 2}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"list", "i", array<i64: 0, 9>>} : () -> ()

// -----

// The dimension is one of the tensor.
// expected-error@below {{mask names dimension 'rows', the tensor has ['o', 'i']}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "rows", array<i64: 0, 1>>} : () -> ()

// -----

// Indices are 64-bit integers.
// expected-error@below {{mask indices must be array<i64: ...>, got array<i32: 0, 1>}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"range", "i", array<i32: 0, 1>>} : () -> ()

// -----

// Parameters of the attribute have kinds that it checks when it is parsed.
// expected-error@below {{expected base attribute 'builtin.string' but got 'builtin.integer'}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<1, "i", array<i64: 0, 1>>} : () -> ()

// -----

// Parameters of the attribute are three.
// expected-error@below {{expected 3 type arguments, but had 2}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "">} : () -> ()
