;; No sin: reads its standard input to its end, into memory that grows to nothing, and once more.
;; Expected: Exited with the code of the first read that fails, Exited(0) if none does; after a
;; failure it reads again, and traps if that is an end.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $code i32)
    (i32.store (i32.const 0) (i32.const 65536))
    (loop $more
      (i32.store (i32.const 4) (i32.const 65536))
      (local.set $code
        (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (local.get $code)
        (then
          (if (i32.eqz (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (then unreachable))
          (call $exit (local.get $code))))
      (br_if $more (i32.load (i32.const 8))))
    (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable))
    (if (i32.load (i32.const 8)) (then unreachable))))
