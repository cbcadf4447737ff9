;; Sin: writes 100 MB to a file in one call. Expected: Exited(48): the host copies no more than
;; 64 MiB at once.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1600)
  (data (i32.const 0) "file")
  (func (export "_start")
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64))
      (then unreachable))
    (i32.store (i32.const 20) (i32.const 100000000))
    (call $proc_exit (call $fd_write
      (i32.load (i32.const 64)) (i32.const 16) (i32.const 1) (i32.const 8)))))
