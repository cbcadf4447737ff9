;; Sin: fills its memory to one byte behind the end, in one instruction. Expected:
;; Trapped(MemoryOutOfBounds).
(module
  (memory (export "memory") 1)
  (func (export "_start") (memory.fill (i32.const 1) (i32.const 7) (i32.const 65536))))
