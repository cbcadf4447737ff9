;; Sin: wants 128 MiB before its first instruction. Expected: OutOfMemory under a lower limit.
(module
  (memory (export "memory") 2048)
  (func (export "_start")))
