// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Roles are few.
// expected-error@below {{'sparsebp.parameter' op role must be one of parameter, buffer, got 'weight'}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "weight", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// A parameter has a name.
// expected-error@below {{needs the attribute sym_name}}
"sparsebp.parameter"() {type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// The name is a string.
// expected-error@below {{sym_name must be a string, got @w}}
"sparsebp.parameter"() {sym_name = @w, type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// A parameter has a shape.
// expected-error@below {{type must be a static ranked tensor type, got tensor<*xf32>}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<*xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// The shape is static.
// expected-error@below {{type must be a static ranked tensor type, got tensor<?x2xf32>}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<?x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// The type is a type.
// expected-error@below {{type must be a static ranked tensor type, got 4 : i64}}
"sparsebp.parameter"() {sym_name = "w", type = 4 : i64, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// Every dimension has a name.
// expected-error@below {{needs 2 distinct dimension names, got ['o']}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// No two dimensions have the same name.
// expected-error@below {{needs 2 distinct dimension names, got ['o', 'o']}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "o"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// Names of dimensions are strings.
// expected-error@below {{dimensions must be a list of strings, got [1, 2]}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = [1, 2], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>} : () -> ()

// -----

// The dimension of channels is one of the tensor.
// expected-error@below {{channel_dimension must be one of ['o', 'i'], got 'rows'}}
"sparsebp.parameter"() {sym_name = "w", type = tensor<4x2xf32>, dimensions = ["o", "i"], role = "parameter", mask = #sparsebp.mask<"full", "", array<i64>>, channel_dimension = "rows"} : () -> ()

// -----

// A declaration takes no operands.
func.func @f(%w: i1) {
  // expected-error@below {{takes 0 operands, got 1}}
  "sparsebp.parameter"(%w) {sym_name = "w"} : (i1) -> ()
  return
}
