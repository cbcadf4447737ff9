;; Sin: traps three functions deep, with something in its memory. Expected: Trapped, and a core dump
;; for who asked for one.
(module
  (memory (export "memory") 1)
  (data (i32.const 5000) "what it knew")
  (func $inner unreachable)
  (func $outer (call $inner))
  (func (export "_start") (call $outer)))
