// RUN: pock-opt %s --split-input-file --verify-diagnostics | filecheck %s
// RUN: pock-opt %s --split-input-file --allow-unregistered-dialect | filecheck %s --check-prefix=ALL

// IREE's operations are part of programs that are about to be compiled.
// CHECK: "util.global"
// ALL: "util.global"
"util.global"() {sym_name = "w", sym_visibility = "private", type = tensor<4xf32>} : () -> ()

// -----

// An operation of a dialect that nobody knows is a mistake.
// CHECK-NOT: "sparsebq.read"
// ALL: "sparsebq.read"
func.func @f() {
  // expected-error@below {{operation 'sparsebq.read' is of no dialect known here; --allow-unregistered-dialect lets it pass}}
  "sparsebq.read"() : () -> ()
  return
}
