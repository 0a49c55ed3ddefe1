// RUN: pock-opt %s | filecheck %s
// RUN: pock-opt %s | pock-opt - | filecheck %s
// RUN: pock-opt < %s -o - | filecheck %s
// RUN: pock-opt %s -o %t.mlir && pock-opt %t.mlir | filecheck %s
// RUN: pock-opt %s --pass-pipeline='builtin.module()' | filecheck %s

// A program goes through unchanged when there are no passes.
// CHECK-LABEL: func.func @keep
// CHECK-NEXT: %[[A:.*]] = torch.constant.int 1
// CHECK-NEXT: %[[B:.*]] = torch.constant.int 1
// CHECK-NEXT: return %[[A]], %[[B]]
func.func @keep() -> (!torch.int, !torch.int) {
  %0 = torch.constant.int 1
  %1 = torch.constant.int 1
  return %0, %1 : !torch.int, !torch.int
}

// Passes of MLIR's run by a pipeline, by a flag of their name, or nested by hand.
// RUN: pock-opt %s --pass-pipeline='builtin.module(cse)' | filecheck %s --check-prefix=CSE
// RUN: pock-opt %s --pass-pipeline='builtin.module(func.func(cse))' | filecheck %s --check-prefix=CSE
// RUN: pock-opt --cse %s | filecheck %s --check-prefix=CSE
// RUN: pock-opt -cse %s | filecheck %s --check-prefix=CSE
// RUN: pock-opt %s --canonicalize=max-iterations=1 --cse | filecheck %s --check-prefix=CSE
// CSE-LABEL: func.func @keep
// CSE-NEXT: %[[A:.*]] = torch.constant.int 1
// CSE-NEXT: return %[[A]], %[[A]]

// A pass that runs on functions is nested by itself when it is a flag.
// RUN: pock-opt %s --torch-restructure-non-constant-axes --cse | filecheck %s --check-prefix=CSE
