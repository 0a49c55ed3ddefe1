// RUN: pock-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(sparsebp-widen-bits)'

// What the pass does not know could read the wide values as narrow ones.
func.func @unknown(%x: tensor<4xi8>) -> tensor<4xui8> {
  // expected-error @+1 {{cannot store what 'tensor.bitcast' takes or makes as i32}}
  %y = tensor.bitcast %x : tensor<4xi8> to tensor<4xui8>
  return %y : tensor<4xui8>
}

// -----

// A constant that is only named here has nothing to widen.
func.func @resource() -> tensor<4xi8> {
  // expected-error @+1 {{cannot store constants of this kind as i32: dense_resource<bytes> : tensor<4xi8>}}
  %c = arith.constant dense_resource<bytes> : tensor<4xi8>
  return %c : tensor<4xi8>
}

// -----

// Other types are no concern of the pass.
func.func @other(%x: tensor<4xi64>) -> tensor<4xui64> {
  %y = tensor.bitcast %x : tensor<4xi64> to tensor<4xui64>
  return %y : tensor<4xui64>
}
