;; No sin: fills the disk, is refused, removes its file, writes another as large and ends well.
;; Expected: Exited(0).
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func $fill (result i32) (local $written i32)
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64))
      (then unreachable))
    (loop $more
      (if (i32.eqz (call $fd_write
            (i32.load (i32.const 64)) (i32.const 16) (i32.const 1) (i32.const 8)))
        (then
          (local.set $written (i32.add (local.get $written) (i32.load (i32.const 8))))
          (br $more))))
    (local.get $written))
  (func (export "_start") (local $first i32)
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.const 1000))
    (local.set $first (call $fill))
    (if (call $fd_close (i32.load (i32.const 64))) (then unreachable))
    (if (call $path_unlink_file (i32.const 3) (i32.const 0) (i32.const 4)) (then unreachable))
    (if (i32.ne (call $fill) (local.get $first)) (then unreachable))))
