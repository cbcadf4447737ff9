;; Sin: seeks a tebibyte behind the start of a file and writes there. Expected: DiskLimit, and no
;; byte on the disk.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  ;; Makes a file below directory 3 with flags for its descriptor, and gives its number.
  (func $create (param $flags i32) (result i32)
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
          (i64.const 0x4001e6) (i64.const 0x4001e6) (local.get $flags) (i32.const 64))
      (then unreachable))
    (i32.load (i32.const 64)))
  ;; Fails as programs do when the disk is full (51), and by a trap when it is anything else.
  (func $fail (param $errno i32)
    (if (i32.ne (local.get $errno) (i32.const 51)) (then unreachable))
    (call $proc_exit (i32.const 1)))

  (func (export "_start") (local $fd i32)
    (local.set $fd (call $create (i32.const 0)))
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.const 1))
    (if (call $fd_seek (local.get $fd) (i64.const 0x10000000000) (i32.const 0) (i32.const 32))
      (then unreachable))
    (call $fail (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)))))
