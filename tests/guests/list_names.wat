;; No sin: writes the listing of its first directory to stdout as it gets it, then opens what the
;; listing calls caf\xE9. Expected: the error number is its exit code.
(module
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "caf\\xE9")
  (func (export "_start")
    (if (call $fd_readdir
        (i32.const 3) (i32.const 64) (i32.const 32768) (i64.const 0) (i32.const 20))
      (then unreachable))
    (i32.store (i32.const 16) (i32.const 64))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))
    (call $proc_exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7)
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 28)))))
