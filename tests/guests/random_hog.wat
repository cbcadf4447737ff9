;; Sin: asks for 16 MiB of randomness at a time, without end, in calls that cost no fuel. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 300)
  (func (export "_start")
    (loop $more
      (if (call $random_get (i32.const 0) (i32.const 0x1000000)) (then unreachable))
      (br $more))))
