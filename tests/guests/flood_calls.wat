;; Sin: says more as a framework than anybody takes.
;; Expected: it waits; killed, or DeadlinePassed.
(module
  (import "skep" "call" (func $call (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\2a\00")
  (data (i32.const 32) "\0a\02\12\00")
  (func (export "_start")
    (drop (call $call (i32.const 32) (i32.const 4)))
    (loop $again
      (br_if $again (i32.eqz (call $call (i32.const 16) (i32.const 2)))))
    unreachable))
