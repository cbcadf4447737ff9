;; No sin: is refused memory, copes and ends well. Expected: Exited(0).
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.ne (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))))
