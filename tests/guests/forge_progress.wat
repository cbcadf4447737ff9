;; Sin: tells its progress with texts that lie outside of its memory, wrap around its end, are
;; too long, or are none. Expected: Exited(0), because it checks each answer; one word is right.
(module
  (import "skep" "progress" (func $progress (param i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\ff\fe")
  ;; The surrogate that UTF-8 forbids, an over-long slash, a text cut in the middle.
  (data (i32.const 8) "\ed\a0\80")
  (data (i32.const 16) "\c0\af")
  (data (i32.const 24) "\e2\82")

  (func $must (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected)) (then unreachable)))

  (func $tell (param $text i32) (param $length i32) (result i32)
    (call $progress (i64.const -1) (i64.const 1) (local.get $text) (local.get $length)))
  (func (export "_start")
    ;; Out of bounds (1): the last byte, all bytes, around the end.
    (call $must (call $tell (i32.const 65535) (i32.const 2)) (i32.const 1))
    (call $must (call $tell (i32.const 65536) (i32.const 1)) (i32.const 1))
    (call $must (call $tell (i32.const -1) (i32.const 2)) (i32.const 1))
    (call $must (call $tell (i32.const 0xffffff80) (i32.const 256)) (i32.const 1))
    ;; Too long (2), wherever it lies.
    (call $must (call $tell (i32.const 0) (i32.const 257)) (i32.const 2))
    (call $must (call $tell (i32.const 0) (i32.const -1)) (i32.const 2))
    (call $must (call $tell (i32.const -1) (i32.const -1)) (i32.const 2))
    ;; No text (3).
    (call $must (call $tell (i32.const 0) (i32.const 2)) (i32.const 3))
    (call $must (call $tell (i32.const 8) (i32.const 3)) (i32.const 3))
    (call $must (call $tell (i32.const 16) (i32.const 2)) (i32.const 3))
    (call $must (call $tell (i32.const 24) (i32.const 2)) (i32.const 3))
    ;; As long as it may be, up to the last byte of its memory, and of no bytes at its very end.
    (call $must (call $tell (i32.const 65280) (i32.const 256)) (i32.const 0))
    (call $must (call $tell (i32.const 65536) (i32.const 0)) (i32.const 0))))
