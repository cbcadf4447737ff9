;; Sin: makes symbolic links that lead out of its directory, and follows them. Expected:
;; Exited(0), because it checks that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_readlink"
    (func $path_readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "/etc/passwd")
  (data (i32.const 32) "../secret")
  (data (i32.const 48) "..")
  (data (i32.const 64) "link")
  (data (i32.const 80) "up")
  (data (i32.const 96) "up/secret")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $open (param $path i32) (param $length i32) (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 4096)))
  (func (export "_start")
    ;; One from the root cannot be made at all; one to the parent can, and leads nowhere.
    (call $refused (i32.const 1) (call $path_symlink
      (i32.const 16) (i32.const 11) (i32.const 3) (i32.const 64) (i32.const 4)))
    (drop (call $path_symlink
      (i32.const 32) (i32.const 9) (i32.const 3) (i32.const 64) (i32.const 4)))
    (drop (call $path_symlink
      (i32.const 48) (i32.const 2) (i32.const 3) (i32.const 80) (i32.const 2)))
    (call $refused (i32.const 2) (call $open (i32.const 64) (i32.const 4)))
    (call $refused (i32.const 3) (call $open (i32.const 96) (i32.const 9)))
    (call $refused (i32.const 4) (call $open (i32.const 80) (i32.const 2)))
    (call $refused (i32.const 5) (call $path_filestat_get
      (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 4) (i32.const 4096)))
    (call $refused (i32.const 6) (call $path_readlink
      (i32.const 3) (i32.const 32) (i32.const 9) (i32.const 4096) (i32.const 100)
      (i32.const 4200)))))
