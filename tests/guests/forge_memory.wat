;; Sin: exports a table where the host looks for its memory. Expected: Trapped(HostCall).
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (table (export "memory") 1 funcref)
  (func (export "_start") (drop (call $args_get (i32.const 0) (i32.const 0)))))
