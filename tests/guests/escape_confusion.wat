;; Sin: takes files for directories and directories for files. Expected: Exited(0), because it
;; checks each answer.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "file")
  (data (i32.const 32) "folder")
  (data (i32.const 48) "file/below")
  (data (i32.const 64) "file/")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $open (param $path i32) (param $length i32) (param $flags i32) (param $rights i64)
    (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (local.get $flags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 4096)))
  (func $made (param $answer i32) (if (local.get $answer) (then unreachable)))
  (func (export "_start")
    (call $made (call $path_create_directory (i32.const 3) (i32.const 32) (i32.const 6)))
    (call $made (call $open (i32.const 16) (i32.const 4) (i32.const 1) (i64.const 66)))
    ;; A listing of a file; a file as a directory; something below a file.
    (call $refused (i32.const 1) (call $fd_readdir
      (i32.load (i32.const 4096)) (i32.const 64) (i32.const 100) (i64.const 0) (i32.const 0)))
    (call $refused (i32.const 2)
      (call $open (i32.const 16) (i32.const 4) (i32.const 2) (i64.const 2)))
    (call $refused (i32.const 3)
      (call $open (i32.const 48) (i32.const 10) (i32.const 1) (i64.const 66)))
    (call $refused (i32.const 4)
      (call $open (i32.const 64) (i32.const 5) (i32.const 0) (i64.const 2)))
    ;; A directory to be made and opened, written to, truncated, read as a file, removed as a file.
    (call $refused (i32.const 5)
      (call $open (i32.const 32) (i32.const 6) (i32.const 3) (i64.const 66)))
    (call $refused (i32.const 6)
      (call $open (i32.const 32) (i32.const 6) (i32.const 0) (i64.const 66)))
    (call $refused (i32.const 7)
      (call $open (i32.const 32) (i32.const 6) (i32.const 8) (i64.const 66)))
    (call $refused (i32.const 8)
      (call $path_unlink_file (i32.const 3) (i32.const 32) (i32.const 6)))
    (call $refused (i32.const 9)
      (call $path_remove_directory (i32.const 3) (i32.const 16) (i32.const 4)))
    (call $made (call $open (i32.const 32) (i32.const 6) (i32.const 2) (i64.const 2)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 64))
    (call $refused (i32.const 10) (call $fd_read
      (i32.load (i32.const 4096)) (i32.const 0) (i32.const 1) (i32.const 8)))))
