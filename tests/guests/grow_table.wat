;; Sin: hoards by way of a table rather than a memory. Expected: OutOfMemory.
(module
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (func (export "_start")
    (loop $more
      (br_if $more
        (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
    unreachable))
