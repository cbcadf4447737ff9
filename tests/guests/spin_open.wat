;; Sin: makes, opens and closes a file, without end. Expected: DeadlinePassed; its neighbours do
;; not notice it.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "_start")
    (loop $more
      (if (call $path_open
            (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
            (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64))
        (then unreachable))
      (if (call $fd_close (i32.load (i32.const 64))) (then unreachable))
      (br $more))))
