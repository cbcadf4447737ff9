;; Sin: returns a result that its memory limit leaves no room for on the host's side, then traps.
;; Expected: OutOfMemory.
(module
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (if (call $result (i32.const 0) (i32.const 262144)) (then unreachable))))
