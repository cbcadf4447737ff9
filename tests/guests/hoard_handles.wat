;; Sin: opens one file again and again, until it is refused, then fails as programs do. Expected:
;; HandleLimit, with exactly as many open as it may have.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "_start") (local $errno i32)
    (loop $more
      (local.set $errno (call $path_open
        (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
        (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64)))
      (br_if $more (i32.eqz (local.get $errno))))
    ;; 33: too many open files.
    (if (i32.ne (local.get $errno) (i32.const 33)) (then unreachable))
    (call $proc_exit (i32.const 1))))
