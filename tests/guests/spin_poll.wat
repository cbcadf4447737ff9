;; Sin: waits for no time at all, without end. Expected: DeadlinePassed; its neighbours do not
;; notice it.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; The subscription at 0 is all zeros: the real-time clock, in no nanoseconds from now.
  (func (export "_start")
    (loop $more
      (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (br $more))))
