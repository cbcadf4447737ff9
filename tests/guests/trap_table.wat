;; Sin: calls a function pointer behind the end of its table. Expected:
;; Trapped(TableOutOfBounds).
(module
  (memory (export "memory") 1)
  (type $nothing (func))
  (table 1 funcref)
  (func (export "_start") (call_indirect (type $nothing) (i32.const 1))))
