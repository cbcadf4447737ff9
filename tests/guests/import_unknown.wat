;; Sin: imports a function that skep does not provide. Expected: rejected before it is compiled.
(module
  (import "env" "foo" (func))
  (func (export "_start")))
