;; No sin: counts its runs in its checkpoint, and fails until it is the third.
;; Expected: Exited(9), in the third run Exited(0), with the count as its result.
(module
  (import "skep" "checkpoint" (func $checkpoint (param i32 i32) (result i32)))
  (import "skep" "restored" (func $restored (param i32 i32) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.gt_u (call $restored (i32.const 0) (i32.const 1)) (i32.const 1))
      (then unreachable))
    (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (if (call $checkpoint (i32.const 0) (i32.const 1)) (then unreachable))
    (if (i32.lt_u (i32.load8_u (i32.const 0)) (i32.const 3))
      (then (call $proc_exit (i32.const 9))))
    (drop (call $result (i32.const 0) (i32.const 1)))))
