// RUN: pock-opt %s --split-input-file --verify-diagnostics

// Roles are few.
// expected-error@below {{'sparsebp.state' op role must be one of optimizer, step, seed, got 'other'}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "other", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// -----

// State of an optimizer says which parameter it is for.
// expected-error@below {{of role optimizer needs the attribute parameter}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", slot = "momentum", initial = 0.0 : f32} : () -> ()

// -----

// State of an optimizer says which slot it is.
// expected-error@below {{of role optimizer needs the attribute slot}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", initial = 0.0 : f32} : () -> ()

// -----

// The slot is a string.
// expected-error@below {{slot must be a string, got 1 : i64}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = 1, initial = 0.0 : f32} : () -> ()

// -----

// The shape is static.
// expected-error@below {{type must be a static ranked tensor type, got tensor<?xf32>}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<?xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0.0 : f32} : () -> ()

// -----

// The initial value is of the element type.
// expected-error@below {{initial must be a scalar f32, got 0 : i64}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = 0 : i64} : () -> ()

// -----

// The initial value is a scalar.
// expected-error@below {{initial must be a scalar f32, got dense<0.000000e+00> : tensor<4x2xf32>}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum", initial = dense<0.0> : tensor<4x2xf32>} : () -> ()

// -----

// There is an initial value.
// expected-error@below {{needs the attribute initial}}
"sparsebp.state"() {sym_name = "w.momentum", type = tensor<4x2xf32>, role = "optimizer", parameter = "w", slot = "momentum"} : () -> ()
