;; Sin: goes a thousand calls deep and comes back, without end. Expected: DeadlinePassed; its
;; neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (func $deep (param $left i32)
    (if (local.get $left) (then (call $deep (i32.sub (local.get $left) (i32.const 1))))))
  (func (export "_start")
    (loop $more (call $deep (i32.const 1000)) (br $more))))
