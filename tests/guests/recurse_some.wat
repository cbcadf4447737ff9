;; No sin: calls itself a thousand times, some 50 KiB deep. Expected: Exited(0), or
;; Trapped(StackOverflow) under a stack limit of 16 KiB.
(module
  (memory (export "memory") 1)
  (func $recurse (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 0))
      (else
        (i32.add
          (call $recurse (i32.sub (local.get 0) (i32.const 1)))
          (local.get 0)))))
  (func (export "_start") (drop (call $recurse (i32.const 1000)))))
