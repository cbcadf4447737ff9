;; Sin: speaks as a framework before it has subscribed, in what is no message, from outside of its
;; memory and at too great a length, and wants events where there is no memory.
;; Expected: Exited(0) with the grant, because it checks each answer; Exited(1) without, having been
;; refused each time.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "skep" "call" (func $call (param i32 i32) (result i32)))
  (import "skep" "event" (func $event (param i32 i32 i64) (result i32)))
  (memory (export "memory") 1)
  ;; A Call with an empty Suppress, and one with a Subscribe that has an empty FrameworkInfo.
  (data (i32.const 16) "\2a\00")
  (data (i32.const 32) "\0a\02\12\00")
  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))

  (func (export "_start")
    (if (i32.eq (call $event (i32.const 0) (i32.const 100) (i64.const 0)) (i32.const -3))
      (then
        (call $must (call $call (i32.const 32) (i32.const 4)) (i32.const 4))
        (call $exit (i32.const 1))))
    (call $must (call $call (i32.const 16) (i32.const 2)) (i32.const 6))
    (call $must (call $call (i32.const 0) (i32.const 5)) (i32.const 5))
    (call $must (call $call (i32.const 0xffff) (i32.const 2)) (i32.const 1))
    (call $must (call $call (i32.const -1) (i32.const 2)) (i32.const 1))
    (call $must (call $call (i32.const 0) (i32.const 0x400000)) (i32.const 2))
    (call $must (call $call (i32.const 0) (i32.const -1)) (i32.const 2))
    (call $must (call $event (i32.const -1) (i32.const -1) (i64.const -1)) (i32.const 0))
    (call $must (call $call (i32.const 32) (i32.const 4)) (i32.const 0))
    (call $must (call $event (i32.const 0) (i32.const 100) (i64.const 1)) (i32.const 0))))
