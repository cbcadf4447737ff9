;; Sin: returns results that lie outside of its memory, wrap around its end, or are too long.
;; Expected: Exited(0), because it checks each answer, with a result of 256 KiB.
(module
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 5)
  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))

  (func (export "_start")
    ;; Out of bounds (1), too long (2).
    (call $must (call $result (i32.const 0x4ffff) (i32.const 2)) (i32.const 1))
    (call $must (call $result (i32.const -1) (i32.const 262144)) (i32.const 1))
    (call $must (call $result (i32.const 65537) (i32.const 262144)) (i32.const 1))
    (call $must (call $result (i32.const 0) (i32.const 262145)) (i32.const 2))
    (call $must (call $result (i32.const -1) (i32.const -1)) (i32.const 2))
    (call $must (call $result (i32.const 65536) (i32.const 262144)) (i32.const 0))
    ;; A refused one leaves the one before.
    (call $must (call $result (i32.const 0) (i32.const 262145)) (i32.const 2))))
