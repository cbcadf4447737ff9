;; Sin: calls a null function pointer. Expected: Trapped(IndirectCallToNull).
(module
  (memory (export "memory") 1)
  (type $nothing (func))
  (table 1 funcref)
  (func (export "_start") (call_indirect (type $nothing) (i32.const 0))))
