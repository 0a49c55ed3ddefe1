// RUN: pock-opt %s --split-input-file --cse | filecheck %s
// RUN: pock-opt %s --split-input-file --cse | pock-opt --split-input-file | filecheck %s

// Programs between separators know nothing of each other: the same name may come again.
// CHECK: module {
// CHECK: func.func @f() -> !torch.int
// CHECK: // -----
// CHECK: module {
// CHECK: func.func @f() -> !torch.float
func.func @f() -> !torch.int {
  %0 = torch.constant.int 1
  return %0 : !torch.int
}

// -----

func.func @f() -> !torch.float {
  %0 = torch.constant.float 1.0
  return %0 : !torch.float
}

// A mistake is reported on its line of the file, and nothing is written.
// RUN: not pock-opt %S/Inputs/second-is-wrong.mlir --split-input-file 2>&1 >%t.out | filecheck %s --check-prefix=WRONG
// RUN: not test -s %t.out
// WRONG: second-is-wrong.mlir:6:8: error: custom op 'torch.constant.nonsense' is unknown
