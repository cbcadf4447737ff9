;; Sin: copies more of a table than there is. Expected: Trapped(TableOutOfBounds).
(module
  (memory (export "memory") 1)
  (table $table 8 funcref)
  (func (export "_start")
    (table.copy $table $table (i32.const 1) (i32.const 0) (i32.const 8))))
