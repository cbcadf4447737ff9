;; Sin: asks the file system about one name, without end. Expected: DeadlinePassed; its
;; neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "nothing")
  (func (export "_start")
    (loop $more
      (drop (call $path_filestat_get
        (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 64)))
      (br $more))))
