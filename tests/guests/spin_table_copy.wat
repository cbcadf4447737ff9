;; Sin: moves a table of 20,000 entries by one in one instruction, and again. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (table $table 20000 funcref)
  (func (export "_start")
    (loop $more
      (table.copy $table $table (i32.const 1) (i32.const 0) (i32.const 19999))
      (br $more))))
