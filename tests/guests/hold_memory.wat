;; No sin: takes 200 MiB, writes to each page and sleeps for a second with all of it.
;; Expected: it ends well where the agent offers so much.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)

  (func (export "_start") (local $page i32)
    (if (i32.eq (memory.grow (i32.const 3199)) (i32.const -1)) (then unreachable))
    ;; From the end down to the second page of 4 KiB: the first holds the subscription.
    (local.set $page (i32.const 209711104))
    (loop $write
      (i32.store (local.get $page) (local.get $page))
      (local.set $page (i32.sub (local.get $page) (i32.const 4096)))
      (br_if $write (local.get $page)))
    ;; A subscription to the monotonic clock: tag 0 at 24, clock 1 at 32, nanoseconds at 40.
    (i32.store (i32.const 32) (i32.const 1))
    (i64.store (i32.const 40) (i64.const 1000000000))
    (if (call $poll_oneoff (i32.const 16) (i32.const 128) (i32.const 1) (i32.const 192))
      (then unreachable))))
