;; Sin: reads, writes and seeks at offsets beyond all files. Expected: Exited(0): reads find
;; nothing, the rest is refused.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pread"
    (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_pwrite"
    (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size"
    (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "file")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func (export "_start") (local $fd i32)
    (if (call $path_open
          (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 4) (i32.const 1)
          (i64.const 0x4001e6) (i64.const 0x4001e6) (i32.const 0) (i32.const 4096))
      (then unreachable))
    (local.set $fd (i32.load (i32.const 4096)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 8))
    ;; Wherever it reads, the file has no bytes.
    (i32.store (i32.const 8) (i32.const 0))
    (drop (call $fd_pread
      (local.get $fd) (i32.const 0) (i32.const 1) (i64.const 0x7ffffffffffffff0) (i32.const 8)))
    (drop (call $fd_pread
      (local.get $fd) (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then unreachable))
    (call $refused (i32.const 1) (call $fd_pwrite
      (local.get $fd) (i32.const 0) (i32.const 1) (i64.const 0x7ffffffffffffff0) (i32.const 8)))
    (call $refused (i32.const 2) (call $fd_pwrite
      (local.get $fd) (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 8)))
    (call $refused (i32.const 3) (call $fd_seek
      (local.get $fd) (i64.const -1) (i32.const 0) (i32.const 32)))
    (call $refused (i32.const 4) (call $fd_seek
      (local.get $fd) (i64.const 0x8000000000000000) (i32.const 1) (i32.const 32)))
    (call $refused (i32.const 5)
      (call $fd_filestat_set_size (local.get $fd) (i64.const -1)))
    (call $refused (i32.const 6)
      (call $fd_filestat_set_size (local.get $fd) (i64.const 0x7fffffffffffffff)))))
