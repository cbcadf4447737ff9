;; Sin: returns a result out of a memory that it does not export. Expected: Exited(1), skep's
;; number for what lies out of bounds.
(module
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory 1)
  (func (export "_start") (call $proc_exit (call $result (i32.const 0) (i32.const 8)))))
