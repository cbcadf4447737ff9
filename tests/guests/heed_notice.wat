;; No sin: waits for an hour to be told to end, and then says so and ends.
;; Expected: Killed, at once, with a result of one byte.
(module
  (import "skep" "cancelled" (func $cancelled (param i64) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (call $cancelled (i64.const 0)) (then unreachable))
    (if (i32.ne (call $cancelled (i64.const 3600000)) (i32.const 1)) (then unreachable))
    (if (i32.ne (call $cancelled (i64.const 0)) (i32.const 1)) (then unreachable))
    (drop (call $result (i32.const 0) (i32.const 1)))))
