;; Sin: does nothing but host calls, which cost no fuel and never wait. Expected: DeadlinePassed;
;; its neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func (export "_start")
    (loop $more
      (drop (call $args_get (i32.const 0) (i32.const 65536)))
      (br $more))))
