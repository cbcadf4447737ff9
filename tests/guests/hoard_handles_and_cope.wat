;; No sin: is refused another open file, closes one, opens it again and ends well. Expected:
;; Exited(0).
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func $open (result i32)
    (call $path_open
      (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
      (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64)))
  (func (export "_start")
    (loop $more (br_if $more (i32.eqz (call $open))))
    (if (call $fd_close (i32.load (i32.const 64))) (then unreachable))
    (if (call $open) (then unreachable))))
