;; No sin: leaves "half" in the file report.txt, and then does as its first argument says. Expected:
;; t traps, s spins for ever, a digit is its exit code.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "report.txt")
  (data (i32.const 16) "half")
  (data (i32.const 24) "\10\00\00\00\04\00\00\00")
  (func (export "_start") (local $how i32)
    (drop (call $args_get (i32.const 64) (i32.const 128)))
    (local.set $how (i32.load8_u (i32.load (i32.const 68))))
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 1)
        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 40)) (then unreachable))
    (drop (call $fd_write (i32.load (i32.const 40)) (i32.const 24) (i32.const 1) (i32.const 44)))
    (if (i32.eq (local.get $how) (i32.const 0x74)) (then unreachable))
    (loop $spin (br_if $spin (i32.eq (local.get $how) (i32.const 0x73))))
    (call $proc_exit (i32.sub (local.get $how) (i32.const 0x30)))))
