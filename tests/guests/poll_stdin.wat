;; No sin: waits for its standard input with poll_oneoff before each read, and copies it to stdout.
;; Expected: Exited(0) when that ends; a wait that is over finds something, or the end.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    ;; One subscription, at 64: for reading (1), of descriptor 0.
    (i32.store8 (i32.const 72) (i32.const 1))
    (i32.store (i32.const 0) (i32.const 65536))
    (loop $more
      (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192))
        (then unreachable))
      (if (i32.ne (i32.load (i32.const 192)) (i32.const 1)) (then unreachable))
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4))
        (then unreachable))
      (if (i32.load (i32.const 4))
        (then
          (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
            (then unreachable))
          (br $more))))))
