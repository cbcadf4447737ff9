;; Sin: hands the host addresses outside of its memory, over-long and broken texts. Expected:
;; Exited(0), because it checks that each call is refused with the right code.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (import "skep" "progress" (func $progress (param i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "\ff\fe")
  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))
  (func (export "_start")
    (call $must (call $random_get (i32.const 0xffff0) (i32.const 17)) (i32.const 21))
    (call $must (call $random_get (i32.const -1) (i32.const -1)) (i32.const 21))
    (call $must (call $result (i32.const 0xffff0) (i32.const 17)) (i32.const 1))
    (call $must (call $result (i32.const -1) (i32.const 2)) (i32.const 1))
    (call $must (call $result (i32.const 0) (i32.const -1)) (i32.const 2))
    (call $must
      (call $progress (i64.const 1) (i64.const 2) (i32.const 0) (i32.const 257)) (i32.const 2))
    (call $must
      (call $progress (i64.const 1) (i64.const 2) (i32.const 0) (i32.const 2)) (i32.const 3))))
