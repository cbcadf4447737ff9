;; No sin: tells its progress three times and returns a value. Expected: Exited(0), with the last
;; progress ahead of the end.
(module
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (import "skep" "progress" (func $progress (param i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "almost done")
  (data (i32.const 32) "forty-two")
  (func (export "_start")
    (drop (call $progress (i64.const 1) (i64.const 3) (i32.const 0) (i32.const 0)))
    (drop (call $progress (i64.const 2) (i64.const 3) (i32.const 0) (i32.const 0)))
    (drop (call $progress (i64.const 3) (i64.const 3) (i32.const 0) (i32.const 11)))
    (drop (call $result (i32.const 32) (i32.const 9)))))
