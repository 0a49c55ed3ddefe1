func.func @f() {
  return
}
// -----
func.func @f() {
  %0 = torch.constant.nonsense 1
  return
}
