;; Sin: renames a directory to and fro, without end. Expected: DeadlinePassed; its neighbours do
;; not notice it.
(module
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "here")
  (data (i32.const 8) "there")
  (func (export "_start")
    (drop (call $path_create_directory (i32.const 3) (i32.const 0) (i32.const 4)))
    (loop $more
      (if (call $path_rename
            (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 8) (i32.const 5))
        (then unreachable))
      (if (call $path_rename
            (i32.const 3) (i32.const 8) (i32.const 5) (i32.const 3) (i32.const 0) (i32.const 4))
        (then unreachable))
      (br $more))))
