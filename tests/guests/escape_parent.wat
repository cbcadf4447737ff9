;; Sin: climbs out of its directory by `..`, plainly and in disguise. Expected: Exited(0),
;; because it checks that each is refused.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "../secret")
  (data (i32.const 32) "./../secret")
  (data (i32.const 48) "below/../../secret")
  (data (i32.const 80) "..//secret")
  (data (i32.const 96) "below/./.././../secret")
  (data (i32.const 128) "../../../../../../../etc/passwd")
  (data (i32.const 160) "..")
  (data (i32.const 176) "../")
  (data (i32.const 192) "below/../..")

  ;; Ends with the number of the step, if that was not refused.
  (func $refused (param $step i32) (param $answer i32)
    (if (i32.eqz (local.get $answer)) (then (call $proc_exit (local.get $step)))))

  (func $open (param $path i32) (param $length i32) (result i32)
    (call $path_open
      (i32.const 3) (i32.const 1) (local.get $path) (local.get $length) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 4096)))
  (func (export "_start")
    (call $refused (i32.const 1) (call $open (i32.const 16) (i32.const 9)))
    (call $refused (i32.const 2) (call $open (i32.const 32) (i32.const 11)))
    (call $refused (i32.const 3) (call $open (i32.const 48) (i32.const 18)))
    (call $refused (i32.const 4) (call $open (i32.const 80) (i32.const 10)))
    (call $refused (i32.const 5) (call $open (i32.const 96) (i32.const 22)))
    (call $refused (i32.const 6) (call $open (i32.const 128) (i32.const 31)))
    (call $refused (i32.const 7) (call $open (i32.const 160) (i32.const 2)))
    (call $refused (i32.const 8) (call $open (i32.const 176) (i32.const 3)))
    (call $refused (i32.const 9) (call $open (i32.const 192) (i32.const 11)))))
