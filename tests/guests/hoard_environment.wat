;; Sin: has its environment and its arguments written where there is no room for them. Expected:
;; Trapped(HostCall) or Exited(1) in each case, for it ends with 1 if it is refused by a code.
(module
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; Its case is the number of its arguments besides its name.
  (func $case (result i32)
    (drop (call $args_sizes_get (i32.const 1000) (i32.const 1004)))
    (i32.sub (i32.load (i32.const 1000)) (i32.const 1)))
  (func $attempt (param $case i32) (result i32)
    ;; 0: the environment across the end.
    (if (i32.eq (local.get $case) (i32.const 0))
      (then (return (call $environ_get
        (i32.const 0) (i32.const 65530)))))
    ;; 1: its list across the end.
    (if (i32.eq (local.get $case) (i32.const 1))
      (then (return (call $environ_get
        (i32.const 65532) (i32.const 0)))))
    ;; 2: both behind the end.
    (if (i32.eq (local.get $case) (i32.const 2))
      (then (return (call $environ_get
        (i32.const -8) (i32.const -8)))))
    ;; 3: the arguments across the end.
    (if (i32.eq (local.get $case) (i32.const 3))
      (then (return (call $args_get
        (i32.const 0) (i32.const 65530)))))
    ;; 4: their list across the end.
    (if (i32.eq (local.get $case) (i32.const 4))
      (then (return (call $args_get
        (i32.const 65533) (i32.const 0)))))
    (i32.const 1))
  (func (export "_start")
    (if (call $attempt (call $case)) (then (call $proc_exit (i32.const 1))))))
