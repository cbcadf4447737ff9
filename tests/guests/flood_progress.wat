;; Sin: tells its progress without end, with another text each time. Expected: DeadlinePassed;
;; its neighbours do not notice it. Of what it says at most ten words a second leave the
;; executor.
(module
  (import "skep" "progress" (func $progress (param i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $done i64)
    (memory.fill (i32.const 0) (i32.const 120) (i32.const 256))
    (loop $more
      (local.set $done (i64.add (local.get $done) (i64.const 1)))
      (i64.store (i32.const 0)
        (i64.or (i64.and (local.get $done) (i64.const 0x0f0f0f0f)) (i64.const 0x6060606060606060)))
      (if (call $progress (local.get $done) (i64.const 0) (i32.const 0) (i32.const 256))
        (then unreachable))
      (br $more))))
