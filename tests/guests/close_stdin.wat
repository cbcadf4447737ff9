;; Sin: closes its standard input, reads from it all the same, and closes it again. Expected:
;; Exited(0), if each was refused with EBADF (8).
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 64))
    (if (call $fd_close (i32.const 0)) (then unreachable))
    (if (i32.ne (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (i32.const 8))
      (then unreachable))
    (if (i32.ne (call $fd_close (i32.const 0)) (i32.const 8)) (then unreachable))))
