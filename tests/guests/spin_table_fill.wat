;; Sin: fills a table of 20,000 entries in one instruction, and again. Expected: DeadlinePassed;
;; its neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (table $table 20000 funcref)
  (elem declare func $callee)
  (func $callee)
  (func (export "_start")
    (loop $more
      (table.fill $table (i32.const 0) (ref.func $callee) (i32.const 20000))
      (br $more))))
