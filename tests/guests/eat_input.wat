;; No sin: removes the file "in/data" of its own folder, and fails if there was one. Expected: a
;; trap; started again in the same folder, Exited { code: 0 }.
(module
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $unlink (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "in/data")
  (func (export "_start")
    (if (i32.eqz (call $unlink (i32.const 3) (i32.const 0) (i32.const 7)))
      (then unreachable))))
