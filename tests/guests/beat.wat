;; No sin: gives a sign of life every ten milliseconds, for more than a second.
;; Expected: Exited(0), with a heartbeat of half a second, too.
(module
  (import "skep" "alive" (func $alive (result i32)))
  (import "skep" "cancelled" (func $cancelled (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 110))
    (loop $more
      (if (call $alive) (then unreachable))
      (drop (call $cancelled (i64.const 10)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left)))))
