;; Sin: is refused memory and goes on as if it had it, as an unchecked malloc does. Expected:
;; OutOfMemory, not the trap that follows.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (memory.grow (i32.const 60000)))
    (i32.store (i32.const 100000000) (i32.const 1))))
