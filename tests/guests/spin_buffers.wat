;; Sin: writes 8,000 buffers of no bytes at a time, each of which the host looks at. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 8000) (i32.const 65000)))
      (br $more))))
