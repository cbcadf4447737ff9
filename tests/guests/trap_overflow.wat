;; Sin: divides the lowest number by -1. Expected: Trapped(IntegerOverflow).
(module
  (memory (export "memory") 1)
  (global $least (mut i32) (i32.const 0x80000000))
  (func (export "_start") (drop (i32.div_s (global.get $least) (i32.const -1)))))
