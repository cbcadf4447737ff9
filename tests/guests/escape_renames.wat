;; Sin: moves files out of its directory, and others in. Expected: Exited(0), because it checks
;; that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "../secret")
  (data (i32.const 32) "/etc/passwd")
  (data (i32.const 48) "mine")
  (data (i32.const 64) "../stolen")
  (data (i32.const 80) "/tmp/stolen")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $rename
    (param $old i32) (param $length i32) (param $new i32) (param $new_length i32) (result i32)
    (call $path_rename
      (i32.const 3) (local.get $old) (local.get $length)
      (i32.const 3) (local.get $new) (local.get $new_length)))
  (func (export "_start")
    (call $refused (i32.const 1)
      (call $rename (i32.const 16) (i32.const 9) (i32.const 48) (i32.const 4)))
    (call $refused (i32.const 2)
      (call $rename (i32.const 32) (i32.const 11) (i32.const 48) (i32.const 4)))
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 48) (i32.const 4) (i32.const 1)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 4096))
      (then unreachable))
    (call $refused (i32.const 3)
      (call $rename (i32.const 48) (i32.const 4) (i32.const 64) (i32.const 9)))
    (call $refused (i32.const 4)
      (call $rename (i32.const 48) (i32.const 4) (i32.const 80) (i32.const 11)))))
