;; Sin: reserves a tebibyte for a file. Expected: Exited(58), for skep knows no such call.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_allocate"
    (func $fd_allocate (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "_start")
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
          (i64.const 0x4001e6) (i64.const 0x4001e6) (i32.const 0) (i32.const 64))
      (then unreachable))
    (call $proc_exit (call $fd_allocate
      (i32.load (i32.const 64)) (i64.const 0) (i64.const 0x10000000000)))))
