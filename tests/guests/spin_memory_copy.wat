;; Sin: moves 60 MiB by one byte in one instruction, which nothing interrupts, and again.
;; Expected: DeadlinePassed; its neighbours do not notice it.
(module
  (memory (export "memory") 960)
  (func (export "_start")
    (loop $more
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3bfffff))
      (br $more))))
