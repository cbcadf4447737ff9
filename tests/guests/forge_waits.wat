;; Sin: waits for clocks that there are not, for descriptors that are not open, and has the
;; events written over the questions. Expected: Exited(0): it ends, whatever the answers are.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $wait (param $count i32) (param $events i32) (param $ready i32)
    (drop (call $poll_oneoff
      (i32.const 0) (local.get $events) (local.get $count) (local.get $ready))))
  (func (export "_start")
    ;; A clock of number 77; then a kind of question that is none.
    (i32.store (i32.const 16) (i32.const 77))
    (call $wait (i32.const 1) (i32.const 1024) (i32.const 2048))
    (i32.store8 (i32.const 8) (i32.const 9))
    (call $wait (i32.const 1) (i32.const 1024) (i32.const 2048))
    ;; To read from descriptor -1.
    (i32.store8 (i32.const 8) (i32.const 1))
    (i32.store (i32.const 16) (i32.const -1))
    (call $wait (i32.const 1) (i32.const 1024) (i32.const 2048))
    ;; The real-time clock, its event over the question, its number beyond the end.
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
    (call $wait (i32.const 1) (i32.const 0) (i32.const 0))
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
    (call $wait (i32.const 1) (i32.const 65530) (i32.const 65536))
    (call $wait (i32.const 1) (i32.const -1) (i32.const -1))))
