;; Sin: asks without end for memory that it will not get. Expected: DeadlinePassed; its
;; neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more (drop (memory.grow (i32.const 65535))) (br $more))))
