;; Sin: sends messages of the greatest length as fast as it can, and goes on when it is refused.
;; Expected: OutOfFuel; those that were taken leave in order and at a bounded rate; its result says
;; that it was refused.
(module
  (import "skep" "send" (func $send (param i32 i32) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (local $answer i32)
    (loop $again
      (local.set $answer (call $send (i32.const 0) (i32.const 0x10000)))
      (if (i32.eqz (local.get $answer))
        ;; The next one has the next number.
        (then (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
        (else
          (i32.store8 (i32.const 0x10000) (local.get $answer))
          (drop (call $result (i32.const 0x10000) (i32.const 1)))))
      (br $again))))
