;; Sin: sends messages from outside of its memory and at too great a length, and receives one where
;; there is no memory or no room.
;; Expected: Exited(0), because it checks each answer; Exited(1) if its clock is virtual, having been
;; refused each time.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "skep" "send" (func $send (param i32 i32) (result i32)))
  (import "skep" "receive" (func $receive (param i32 i32 i64) (result i32)))
  (memory (export "memory") 2)
  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))

  (func (export "_start")
    (if (i32.eq (call $receive (i32.const 0) (i32.const 9) (i64.const 3600000)) (i32.const -3))
      (then
        (call $must (call $send (i32.const 0) (i32.const 1)) (i32.const 7))
        (call $exit (i32.const 1))))
    (call $must (call $send (i32.const 0x1ffff) (i32.const 2)) (i32.const 1))
    (call $must (call $send (i32.const -1) (i32.const 2)) (i32.const 1))
    (call $must (call $send (i32.const 0) (i32.const 0x10001)) (i32.const 2))
    (call $must (call $send (i32.const 0) (i32.const -1)) (i32.const 2))
    ;; The message that ended the wait was longer than nine bytes: it is still there, of ten.
    (call $must (call $receive (i32.const 0) (i32.const 9) (i64.const 0)) (i32.const 10))
    (call $must (call $receive (i32.const 0x1ffff) (i32.const 99) (i64.const 0)) (i32.const -1))
    (call $must (call $receive (i32.const -1) (i32.const -1) (i64.const -1)) (i32.const -1))
    (call $must (call $receive (i32.const 16) (i32.const 10) (i64.const 0)) (i32.const 10))
    (call $must (call $receive (i32.const 16) (i32.const 10) (i64.const 1)) (i32.const -2))
    ;; Back to where it came from, and an empty one.
    (call $must (call $send (i32.const 16) (i32.const 10)) (i32.const 0))
    (call $must (call $send (i32.const 0x20000) (i32.const 0)) (i32.const 0))
    (call $must (call $send (i32.const 0) (i32.const 0x10000)) (i32.const 0))))
