;; Sin: opens files by paths from the root. Expected: Exited(0), because it checks that each is
;; refused.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "/etc/passwd")
  (data (i32.const 32) "//etc/passwd")
  (data (i32.const 48) "/")
  (data (i32.const 64) "/proc/self/mem")
  (data (i32.const 80) "/proc/self/fd/3")
  (data (i32.const 96) "/dev/null")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $open (param $path i32) (param $length i32) (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 4096)))
  (func (export "_start")
    (call $refused (i32.const 1) (call $open (i32.const 16) (i32.const 11)))
    (call $refused (i32.const 2) (call $open (i32.const 32) (i32.const 12)))
    (call $refused (i32.const 3) (call $open (i32.const 48) (i32.const 1)))
    (call $refused (i32.const 4) (call $open (i32.const 64) (i32.const 14)))
    (call $refused (i32.const 5) (call $open (i32.const 80) (i32.const 15)))
    (call $refused (i32.const 6) (call $open (i32.const 96) (i32.const 9)))))
