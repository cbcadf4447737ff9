;; Sin: fills 60 MiB in one instruction, which nothing interrupts, and again. Expected:
;; DeadlinePassed; its neighbours do not notice it.
(module
  (memory (export "memory") 960)
  (func (export "_start")
    (loop $more
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3c00000))
      (br $more))))
