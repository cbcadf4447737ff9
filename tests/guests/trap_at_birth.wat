;; Sin: has data for addresses that its memory does not have. Expected:
;; Trapped(MemoryOutOfBounds), before its first instruction.
(module
  (memory (export "memory") 1)
  (data (i32.const 65535) "over the edge")
  (func (export "_start")))
