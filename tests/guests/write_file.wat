;; No sin: writes the file `out` in the first directory that it is granted. Expected: Exited(0).
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "out")
  (data (i32.const 48) "written")
  (func (export "_start")
    ;; Directory 3, no flags, "out", create, the right to write (64), no flags; its number at 64.
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 3) (i32.const 1)
          (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 64))
      (then unreachable))
    (i32.store (i32.const 0) (i32.const 48))
    (i32.store (i32.const 4) (i32.const 7))
    (if (call $fd_write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable))))
