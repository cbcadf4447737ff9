;; Sin: opens files, each of which it hides under the number of the one before; the host must
;; close those. Expected: Exited(0), after a thousand opens under a limit of three.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func $open (result i32)
    (if (call $path_open
          (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64))
      (then unreachable))
    (i32.load (i32.const 64)))
  (func (export "_start") (local $first i32) (local $left i32)
    (local.set $first (call $open))
    (local.set $left (i32.const 1000))
    (loop $more
      (if (call $fd_renumber (call $open) (local.get $first)) (then unreachable))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left)))))
