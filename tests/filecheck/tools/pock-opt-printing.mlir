// The program after each pass goes to standard error, in the order of the command line.
// RUN: pock-opt %s --canonicalize --cse --mlir-print-ir-after-all 2>&1 >%t.out | filecheck %s --check-prefix=AFTER
// RUN: filecheck %s --check-prefix=RESULT < %t.out
// AFTER: // -----// IR Dump After canonicalize //----- //
// AFTER: func.func @f
// AFTER: // -----// IR Dump After cse //----- //
// AFTER: func.func @f
// RESULT-NOT: IR Dump
// RESULT: func.func @f

// Locations are printed when asked for, and name the file.
// RUN: pock-opt %s --mlir-print-debuginfo | filecheck %s --check-prefix=LOCATION
// RUN: pock-opt %s --mlir-print-debuginfo | pock-opt --mlir-print-debuginfo | filecheck %s --check-prefix=LOCATION
// RUN: pock-opt %s | filecheck %s --check-prefix=PLAIN
// LOCATION: func.func @f
// LOCATION-NEXT: torch.constant.int 7 loc([[PLACE:#loc[0-9]*]])
// LOCATION-DAG: [[PLACE]] = loc("{{.*}}pock-opt-printing.mlir":21:8)
// PLAIN-NOT: loc(
func.func @f() -> !torch.int {

  %0 = torch.constant.int 7
  return %0 : !torch.int
}
