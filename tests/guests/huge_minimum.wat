;; Sin: wants 512 MiB before its first instruction, more than any slot of the pool holds. Expected:
;; OutOfMemory under a lower limit; Exited(0), outside of the pool, under a higher one.
(module
  (memory (export "memory") 8192)
  (func (export "_start")))
