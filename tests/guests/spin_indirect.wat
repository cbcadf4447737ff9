;; Sin: calls itself by way of a table, without end. Expected: DeadlinePassed; its neighbours do
;; not notice it.
(module
  (memory (export "memory") 1)
  (type $nothing (func))
  (table funcref (elem $callee))
  (func $callee)
  (func (export "_start")
    (loop $more (call_indirect (type $nothing) (i32.const 0)) (br $more))))
