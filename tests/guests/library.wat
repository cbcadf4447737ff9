;; Sin: is a library and no program. Expected: rejected for want of `_start`.
(module
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1))))
