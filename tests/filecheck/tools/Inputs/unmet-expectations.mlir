func.func @f() {
  // expected-error@below {{something}}
  return
}
// -----
func.func @f() {
  // The message is another.
  // expected-error@below {{another message}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[1],f32>
  return
}
// -----

func.func @f() {
  // The severity is another.
  // expected-warning@below {{refers to}}
  %0 = "sparsebp.read"() {symbol = @w} : () -> !torch.vtensor<[1],f32>
  return
}
