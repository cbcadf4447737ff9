;; Sin: has the host write times, sizes and listings across the end of its memory. Expected:
;; Trapped(HostCall) or Exited(1) in each case, for it ends with 1 if it is refused by a code.
(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get"
    (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get"
    (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) ".")

  ;; Its case is the number of its arguments besides its name.
  (func $case (result i32)
    (drop (call $args_sizes_get (i32.const 1000) (i32.const 1004)))
    (i32.sub (i32.load (i32.const 1000)) (i32.const 1)))
  (func $attempt (param $case i32) (result i32)
    ;; 0: a time.
    (if (i32.eq (local.get $case) (i32.const 0))
      (then (return (call $clock_time_get
        (i32.const 0) (i64.const 0) (i32.const 65529)))))
    ;; 1: a time of a clock that is none.
    (if (i32.eq (local.get $case) (i32.const 1))
      (then (return (call $clock_time_get
        (i32.const 99) (i64.const 0) (i32.const 0)))))
    ;; 2: what is known of a file.
    (if (i32.eq (local.get $case) (i32.const 2))
      (then (return (call $fd_filestat_get
        (i32.const 3) (i32.const 65480)))))
    ;; 3: what is known of a descriptor.
    (if (i32.eq (local.get $case) (i32.const 3))
      (then (return (call $fd_fdstat_get
        (i32.const 3) (i32.const -8)))))
    ;; 4: a listing behind the end.
    (if (i32.eq (local.get $case) (i32.const 4))
      (then (return (call $fd_readdir
        (i32.const 3) (i32.const 65536) (i32.const 100) (i64.const 0) (i32.const 0)))))
    ;; 5: a listing longer than its memory.
    (if (i32.eq (local.get $case) (i32.const 5))
      (then (return (call $fd_readdir
        (i32.const 3) (i32.const 64) (i32.const -1) (i64.const 0) (i32.const 0)))))
    ;; 6: the length of a listing.
    (if (i32.eq (local.get $case) (i32.const 6))
      (then (return (call $fd_readdir
        (i32.const 3) (i32.const 64) (i32.const 100) (i64.const 0) (i32.const 65535)))))
    ;; 7: what is known of a name.
    (if (i32.eq (local.get $case) (i32.const 7))
      (then (return (call $path_filestat_get
        (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 65480)))))
    ;; 8: a name around the end.
    (if (i32.eq (local.get $case) (i32.const 8))
      (then (return (call $path_filestat_get
        (i32.const 3) (i32.const 0) (i32.const -1) (i32.const 2) (i32.const 64)))))
    ;; 9: two sizes.
    (if (i32.eq (local.get $case) (i32.const 9))
      (then (return (call $environ_sizes_get
        (i32.const 65536) (i32.const 0)))))
    (i32.const 1))
  (func (export "_start")
    (if (call $attempt (call $case)) (then (call $proc_exit (i32.const 1))))))
