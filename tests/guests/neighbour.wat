;; No sin: counts its loops, 2,000 steps each, for as many milliseconds as it has bytes in its
;; name, and returns the count. Expected: Exited(0).
(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $now (result i64)
    (if (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)) (then unreachable))
    (i64.load (i32.const 0)))
  ;; The bytes of its name, which stands at 1024.
  (func $milliseconds (result i64) (local $at i32)
    (if (call $args_get (i32.const 16) (i32.const 1024)) (then unreachable))
    (local.set $at (i32.const 1024))
    (loop $more
      (if (i32.load8_u (local.get $at))
        (then (local.set $at (i32.add (local.get $at) (i32.const 1))) (br $more))))
    (i64.extend_i32_u (i32.sub (local.get $at) (i32.const 1024))))
  (func (export "_start") (local $end i64) (local $count i64) (local $left i32)
    (local.set $end (i64.add (call $now) (i64.mul (call $milliseconds) (i64.const 1000000))))
    (loop $more
      (local.set $left (i32.const 2000))
      (loop $step
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $step (local.get $left)))
      (local.set $count (i64.add (local.get $count) (i64.const 1)))
      (br_if $more (i64.lt_u (call $now) (local.get $end))))
    (i64.store (i32.const 8) (local.get $count))
    (if (call $result (i32.const 8) (i32.const 8)) (then unreachable))))
