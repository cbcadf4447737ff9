;; Sin: copies a data segment into its memory, without end. Expected: DeadlinePassed; its
;; neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (data $text "a line of thirty-one characters\n")
  (func (export "_start")
    (loop $more
      (memory.init $text (i32.const 0) (i32.const 0) (i32.const 32))
      (br $more))))
