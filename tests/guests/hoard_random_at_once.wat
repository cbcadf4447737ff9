;; Sin: draws 16 MiB of random bytes in one call. Expected: RandomLimit, at once; OutOfFuel if it
;; may draw them and cannot pay.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 300)
  (func (export "_start")
    (if (call $random_get (i32.const 0) (i32.const 0x1000000)) (then unreachable))))
