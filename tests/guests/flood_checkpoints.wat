;; Sin: leaves a checkpoint of full length over and over. Expected: OutOfFuel; the agent hears of
;; two a second at most.
(module
  (import "skep" "checkpoint" (func $checkpoint (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (if (call $checkpoint (i32.const 0) (i32.const 65536)) (then unreachable))
      (br $more))))
