;; Sin: leaves checkpoints that lie outside of its memory or are too long, has one copied to where
;; there is no memory, and waits for ages that are negative.
;; Expected: Exited(0), because it checks each answer.
(module
  (import "skep" "checkpoint" (func $checkpoint (param i32 i32) (result i32)))
  (import "skep" "restored" (func $restored (param i32 i32) (result i32)))
  (import "skep" "cancelled" (func $cancelled (param i64) (result i32)))
  (memory (export "memory") 2)
  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))

  (func (export "_start")
    (call $must (call $restored (i32.const -1) (i32.const -1)) (i32.const 0))
    (call $must (call $checkpoint (i32.const 0x1ffff) (i32.const 2)) (i32.const 1))
    (call $must (call $checkpoint (i32.const -1) (i32.const 65536)) (i32.const 1))
    (call $must (call $checkpoint (i32.const 0) (i32.const 65537)) (i32.const 2))
    (call $must (call $checkpoint (i32.const 0) (i32.const -1)) (i32.const 2))
    (call $must (call $checkpoint (i32.const 65536) (i32.const 65536)) (i32.const 0))
    ;; Too little room: its length, and nothing is written.
    (i32.store8 (i32.const 0) (i32.const 7))
    (call $must (call $restored (i32.const 0) (i32.const 65535)) (i32.const 65536))
    (call $must (i32.load8_u (i32.const 0)) (i32.const 7))
    (call $must (call $restored (i32.const 0x10001) (i32.const 65536)) (i32.const -1))
    (call $must (call $restored (i32.const -1) (i32.const -1)) (i32.const -1))
    (call $must (call $restored (i32.const 0) (i32.const 65536)) (i32.const 65536))
    (call $must (i32.load8_u (i32.const 0)) (i32.const 0))
    (call $must (call $cancelled (i64.const -1)) (i32.const 0))))
