;; Sleeps for 10 ms five hundred times and returns, for each, how many nanoseconds too long it was:
;; five hundred numbers of 32 bits.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $now (result i64)
    (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 256)))
    (i64.load (i32.const 256)))
  (func (export "_start") (local $round i32) (local $began i64)
    ;; A subscription at 0: kind 0 (clock) at 8, clock 1 (monotonic) at 16, its time-out at 24.
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 10000000))
    (loop $more
      (local.set $began (call $now))
      (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (i32.store offset=1024
        (i32.shl (local.get $round) (i32.const 2))
        (i32.wrap_i64
          (i64.sub (i64.sub (call $now) (local.get $began)) (i64.const 10000000))))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $round) (i32.const 500))))
    (drop (call $result (i32.const 1024) (i32.const 2000)))))
