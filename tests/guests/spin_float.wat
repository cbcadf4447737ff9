;; Sin: computes square roots without end, the slowest of instructions for their fuel. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $x f64)
    (local.set $x (f64.const 2))
    (loop $more
      (local.set $x (f64.sqrt (f64.div (f64.add (local.get $x) (f64.const 3)) (local.get $x))))
      (br $more))))
