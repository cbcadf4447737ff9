;; No sin: it starts and ends. Expected: Exited(0).
(module
  (memory (export "memory") 1)
  (func (export "_start")))
