;; Sin: gives its descriptors other numbers: its directory over stdin, a file over its directory,
;; itself over itself, and what does not exist. Expected: Exited(0), with none of them worth more
;; than before.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "file")
  (data (i32.const 32) "../secret")

  ;; Ends with 1000 times the step and the answer, if that is not the one expected.
  (func $must (param $step i32) (param $answer i32) (param $expected i32)
    (if (i32.ne (local.get $answer) (local.get $expected))
      (then (call $proc_exit
        (i32.add (i32.mul (local.get $step) (i32.const 1000)) (local.get $answer))))))

  (func $open (param $dir i32) (param $path i32) (param $length i32) (result i32)
    (call $path_open
      (local.get $dir) (i32.const 1) (local.get $path) (local.get $length) (i32.const 1)
      (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 4096)))
  (func (export "_start") (local $file i32)
    (call $must (i32.const 1) (call $open (i32.const 3) (i32.const 16) (i32.const 4)) (i32.const 0))
    (local.set $file (i32.load (i32.const 4096)))
    ;; 8: no such descriptor.
    (call $must (i32.const 2) (call $fd_renumber (local.get $file) (i32.const 99)) (i32.const 8))
    (call $must (i32.const 3) (call $fd_renumber (i32.const 99) (local.get $file)) (i32.const 8))
    (call $must (i32.const 4) (call $fd_renumber (i32.const -1) (i32.const 3)) (i32.const 8))
    (call $must (i32.const 5) (call $fd_renumber (i32.const 3) (i32.const 3)) (i32.const 0))
    ;; The directory over stdin: there it is no wider than it was.
    (call $must (i32.const 6) (call $fd_renumber (i32.const 3) (i32.const 0)) (i32.const 0))
    (call $must (i32.const 7) (call $open (i32.const 3) (i32.const 16) (i32.const 4)) (i32.const 8))
    (call $must (i32.const 8)
      (call $open (i32.const 0) (i32.const 32) (i32.const 9)) (i32.const 63))
    ;; A file in its place is no directory (54).
    (call $must (i32.const 9) (call $fd_renumber (local.get $file) (i32.const 0)) (i32.const 0))
    (call $must (i32.const 10)
      (call $open (i32.const 0) (i32.const 16) (i32.const 4)) (i32.const 54))
    ;; Closed is closed.
    (call $must (i32.const 11) (call $fd_close (i32.const 0)) (i32.const 0))
    (call $must (i32.const 12) (call $fd_close (i32.const 0)) (i32.const 8))
    (call $must (i32.const 13) (call $fd_close (local.get $file)) (i32.const 8))))
