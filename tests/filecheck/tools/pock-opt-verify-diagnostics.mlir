// RUN: pock-opt %s --split-input-file --verify-diagnostics

// A diagnostic is foretold by line, by distance, or by the nearest line of code.
func.func @same_line() -> !torch.int {
  %0 = "sparsebp.read"() {symbol = @a} : () -> !torch.vtensor<[1],f32> // expected-error {{refers to @a}}
  // expected-error@+1 {{refers to @b}}
  %1 = "sparsebp.read"() {symbol = @b} : () -> !torch.vtensor<[1],f32>
  %2 = "sparsebp.read"() {symbol = @c} : () -> !torch.vtensor<[1],f32>
  // expected-error@-1 {{refers to @c}}
  %3 = "sparsebp.read"() {symbol = @d} : () -> !torch.vtensor<[1],f32>
  // expected-error@above {{op refers to @d}}
  // expected-error@below {{refers to @e}}
  // expected-error@below {{refers to @f}}
  %5 = "sparsebp.read"() {symbol = @e} : () -> !torch.vtensor<[1],f32> %6 = "sparsebp.read"() {symbol = @f} : () -> !torch.vtensor<[1],f32>
  %7 = torch.constant.int 1
  return %7 : !torch.int
}

// -----

// Parts of the message may be regular expressions.
func.func @regex() {
  // expected-error-re@below {{op refers to @a.b, which {{[a-z]+}} declares}}
  %0 = "sparsebp.read"() {symbol = @a.b} : () -> !torch.vtensor<[1],f32>
  return
}

// -----

// Notes are diagnostics of their own.
// expected-note@below {{prior use here}}
func.func @notes(%x: !torch.int) -> !torch.float {
  // expected-error@below {{use of value '%x' expects different type than prior uses}}
  return %x : !torch.float
}

// What is foretold and does not happen is an error, and so is what happens unforetold.
// RUN: not pock-opt %S/Inputs/unmet-expectations.mlir --split-input-file --verify-diagnostics 2>&1 | filecheck %s --check-prefix=UNMET
// UNMET: unmet-expectations.mlir:2:1: error: expected error "something" was not produced
// UNMET-NEXT: unmet-expectations.mlir:9:1: error: unexpected error: 'sparsebp.read' op refers to @w, which nothing declares
// UNMET-NEXT: unmet-expectations.mlir:8:1: error: expected error "another message" was not produced
// UNMET-NEXT: unmet-expectations.mlir:17:1: error: unexpected error: 'sparsebp.read' op refers to @w, which nothing declares
// UNMET-NEXT: unmet-expectations.mlir:16:1: error: expected warning "refers to" was not produced
