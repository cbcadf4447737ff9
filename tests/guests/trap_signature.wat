;; Sin: calls a function pointer as what it is not. Expected: Trapped(BadSignature).
(module
  (memory (export "memory") 1)
  (type $other (func (param i64)))
  (table funcref (elem $callee))
  (func $callee)
  (func (export "_start") (call_indirect (type $other) (i64.const 0) (i32.const 0))))
