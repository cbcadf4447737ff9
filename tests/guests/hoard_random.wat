;; Sin: draws random bytes, 100 at a time, without end. Expected: RandomLimit.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more
      (if (call $random_get (i32.const 0) (i32.const 100)) (then unreachable))
      (br $more))))
