;; Sin: tries 100,000 descriptors for one that the executor left open. Expected: Exited(0): it
;; finds the three standard streams.
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get"
    (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get"
    (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $fd i32)
    (local.set $fd (i32.const -1000))
    (loop $more
      (if (i32.or
            (i32.eqz (call $fd_fdstat_get (local.get $fd) (i32.const 0)))
            (i32.eqz (call $fd_prestat_get (local.get $fd) (i32.const 0))))
        (then
          (if (i32.gt_u (local.get $fd) (i32.const 2))
            (then (call $proc_exit (local.get $fd))))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $more (i32.lt_s (local.get $fd) (i32.const 100000))))))
