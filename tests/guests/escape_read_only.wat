;; Sin: changes a directory that it was granted to read: files, names, links and times. Expected:
;; Exited(0), because it checks that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $path_remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $path_filestat_set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size"
    (func $fd_filestat_set_size (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "kept")
  (data (i32.const 32) "new")
  (data (i32.const 48) "below")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $open (param $path i32) (param $length i32) (param $flags i32) (param $rights i64)
    (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (local.get $flags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 4096)))
  (func $names
    (call $refused (i32.const 6)
      (call $path_create_directory (i32.const 3) (i32.const 32) (i32.const 3)))
    (call $refused (i32.const 7)
      (call $path_unlink_file (i32.const 3) (i32.const 16) (i32.const 4)))
    (call $refused (i32.const 8)
      (call $path_remove_directory (i32.const 3) (i32.const 48) (i32.const 5)))
    (call $refused (i32.const 9) (call $path_rename
      (i32.const 3) (i32.const 16) (i32.const 4) (i32.const 3) (i32.const 32) (i32.const 3)))
    (call $refused (i32.const 10) (call $path_link
      (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4)
      (i32.const 3) (i32.const 32) (i32.const 3)))
    (call $refused (i32.const 11) (call $path_symlink
      (i32.const 16) (i32.const 4) (i32.const 3) (i32.const 32) (i32.const 3)))
    (call $refused (i32.const 12) (call $path_filestat_set_times
      (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4)
      (i64.const 1) (i64.const 1) (i32.const 5))))
  (func (export "_start")
    ;; To write, to create, to truncate, to create exclusively.
    (call $refused (i32.const 1)
      (call $open (i32.const 16) (i32.const 4) (i32.const 0) (i64.const 64)))
    (call $refused (i32.const 2)
      (call $open (i32.const 32) (i32.const 3) (i32.const 1) (i64.const 64)))
    (call $refused (i32.const 3)
      (call $open (i32.const 16) (i32.const 4) (i32.const 8) (i64.const 2)))
    (call $refused (i32.const 4)
      (call $open (i32.const 32) (i32.const 3) (i32.const 5) (i64.const 2)))
    (call $names)
    ;; What it may open it may not write to.
    (if (call $open (i32.const 16) (i32.const 4) (i32.const 0) (i64.const 2)) (then unreachable))
    (i32.store (i32.const 4) (i32.const 4))
    (call $refused (i32.const 13) (call $fd_write
      (i32.load (i32.const 4096)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $refused (i32.const 14)
      (call $fd_filestat_set_size (i32.load (i32.const 4096)) (i64.const 0)))))
