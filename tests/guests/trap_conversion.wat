;; Sin: makes an integer of a number that is none. Expected: Trapped(BadConversionToInteger).
(module
  (memory (export "memory") 1)
  (global $none (mut f64) (f64.const nan))
  (func (export "_start") (drop (i32.trunc_f64_s (global.get $none)))))
