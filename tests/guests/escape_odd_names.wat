;; Sin: names files by what is no name: with a NUL, in no UTF-8, of no bytes, of thousands of
;; bytes, of megabytes. Expected: Exited(0), because it checks that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 64)
  (data (i32.const 16) "fi\00le")
  (data (i32.const 32) "fi\ff\fele")
  (data (i32.const 48) "x")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $create (param $path i32) (param $length i32) (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (i32.const 1)
      (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 4096)))
  (func (export "_start")
    (memory.fill (i32.const 65536) (i32.const 120) (i32.const 0x200000))
    (call $refused (i32.const 1) (call $create (i32.const 16) (i32.const 5)))
    (call $refused (i32.const 2) (call $create (i32.const 32) (i32.const 6)))
    (call $refused (i32.const 3) (call $create (i32.const 48) (i32.const 0)))
    (call $refused (i32.const 4) (call $create (i32.const 65536) (i32.const 256)))
    (call $refused (i32.const 5) (call $create (i32.const 65536) (i32.const 5000)))
    (call $refused (i32.const 6) (call $create (i32.const 65536) (i32.const 0x200000)))
    (call $refused (i32.const 7)
      (call $path_create_directory (i32.const 3) (i32.const 65536) (i32.const 0x200000)))
    (call $refused (i32.const 8) (call $path_symlink
      (i32.const 65536) (i32.const 0x200000) (i32.const 3) (i32.const 48) (i32.const 1)))))
