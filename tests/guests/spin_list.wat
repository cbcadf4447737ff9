;; Sin: lists a directory of hundreds of entries, always from its start. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $path_create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Makes directories of four letters each, then lists them for ever.
  (func (export "_start") (local $made i32)
    (loop $make
      (i32.store (i32.const 0) (i32.add (i32.const 0x61616161) (local.get $made)))
      (drop (call $path_create_directory (i32.const 3) (i32.const 0) (i32.const 4)))
      (local.set $made (i32.add (local.get $made) (i32.const 1)))
      (br_if $make (i32.lt_u (local.get $made) (i32.const 200))))
    (loop $more
      (drop (call $fd_readdir
        (i32.const 3) (i32.const 64) (i32.const 32768) (i64.const 0) (i32.const 0)))
      (br $more))))
