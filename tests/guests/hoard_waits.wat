;; Sin: waits for 100,000 clocks at once, and for none. Expected: Exited(0), because it checks
;; that it is refused.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 100)
  (func $must (param $answer i32)
    ;; 28: an invalid argument.
    (if (i32.ne (local.get $answer) (i32.const 28)) (then unreachable)))
  (func (export "_start")
    (call $must (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 100000) (i32.const 0)))
    (call $must (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)))
    (call $must (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
