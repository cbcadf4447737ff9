;; Sin: has a directory to read and one to write, and moves and links files from the one into the
;; other, to change them there. Expected: Exited(0), because it checks that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "kept")
  (data (i32.const 32) "mine")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func (export "_start")
    (if (call $path_open
          (i32.const 4) (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 1)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 4096))
      (then unreachable))
    (call $refused (i32.const 1) (call $path_rename
      (i32.const 3) (i32.const 16) (i32.const 4) (i32.const 4) (i32.const 16) (i32.const 4)))
    (call $refused (i32.const 2) (call $path_rename
      (i32.const 4) (i32.const 32) (i32.const 4) (i32.const 3) (i32.const 16) (i32.const 4)))
    (call $refused (i32.const 3) (call $path_link
      (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4)
      (i32.const 4) (i32.const 16) (i32.const 4)))
    (call $refused (i32.const 4) (call $path_link
      (i32.const 4) (i32.const 0) (i32.const 32) (i32.const 4)
      (i32.const 3) (i32.const 32) (i32.const 4)))))
