;; Sin: reads a large standard input a byte at a time. Expected: DeadlinePassed, or OutOfFuel,
;; long before its end; its neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1))
    (loop $more
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (then unreachable))
      (br_if $more (i32.load (i32.const 8))))))
