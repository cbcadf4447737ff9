;; Sin: hands the host lists of buffers that are longer than its memory, lie across its end, or
;; hold what does. Expected: Trapped(HostCall) or Exited(1) in each case, for it ends with 1 if
;; it is refused by a code.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\ff\ff\00\00\02\00\00\00")
  (data (i32.const 24) "\ff\ff\ff\ff\02\00\00\00")
  (data (i32.const 32) "\00\00\00\00\04\00\00\00")

  ;; Its case is the number of its arguments besides its name.
  (func $case (result i32)
    (drop (call $args_sizes_get (i32.const 1000) (i32.const 1004)))
    (i32.sub (i32.load (i32.const 1000)) (i32.const 1)))
  (func $attempt (param $case i32) (result i32)
    ;; 0: a list behind the end.
    (if (i32.eq (local.get $case) (i32.const 0))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 65536) (i32.const 1) (i32.const 8)))))
    ;; 1: a list across the end.
    (if (i32.eq (local.get $case) (i32.const 1))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 8)))))
    ;; 2: a list longer than 32 bits can count.
    (if (i32.eq (local.get $case) (i32.const 2))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 0) (i32.const 0x20000001) (i32.const 8)))))
    ;; 3: a list of all numbers.
    (if (i32.eq (local.get $case) (i32.const 3))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8)))))
    ;; 4: a list where no list may lie.
    (if (i32.eq (local.get $case) (i32.const 4))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 8)))))
    ;; 5: a buffer across the end.
    (if (i32.eq (local.get $case) (i32.const 5))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
    ;; 6: a buffer around the end.
    (if (i32.eq (local.get $case) (i32.const 6))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 8)))))
    ;; 7: the count of bytes behind the end.
    (if (i32.eq (local.get $case) (i32.const 7))
      (then (return (call $fd_write
        (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 65536)))))
    ;; 8: a descriptor that is none.
    (if (i32.eq (local.get $case) (i32.const 8))
      (then (return (call $fd_write
        (i32.const -1) (i32.const 32) (i32.const 1) (i32.const 8)))))
    ;; 9: a buffer to read into across the end.
    (if (i32.eq (local.get $case) (i32.const 9))
      (then (return (call $fd_read
        (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 65536)))))
    (i32.const 1))
  (func (export "_start")
    (if (call $attempt (call $case)) (then (call $proc_exit (i32.const 1))))))
