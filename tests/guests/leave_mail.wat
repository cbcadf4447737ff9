;; No sin: its first run fails when a message has come, and leaves it where it is; its second looks
;; whether it is still there. Expected: Exited(9), and Exited(0) when it is run again.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "skep" "receive" (func $receive (param i32 i32 i64) (result i32)))
  (import "skep" "checkpoint" (func $checkpoint (param i32 i32) (result i32)))
  (import "skep" "restored" (func $restored (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eqz (call $restored (i32.const 0) (i32.const 0)))
      (then
        (drop (call $checkpoint (i32.const 0) (i32.const 1)))
        (if (i32.ne (call $receive (i32.const 0) (i32.const 0) (i64.const 3600000)) (i32.const 4))
          (then unreachable))
        (call $exit (i32.const 9))))
    (if (i32.ne (call $receive (i32.const 0) (i32.const 9) (i64.const 0)) (i32.const -2))
      (then unreachable))))
