;; Sin: copies out of a data segment that it has dropped. Expected: Trapped(MemoryOutOfBounds).
(module
  (memory (export "memory") 1)
  (data $text "text")
  (func (export "_start")
    (data.drop $text)
    (memory.init $text (i32.const 0) (i32.const 0) (i32.const 4))))
