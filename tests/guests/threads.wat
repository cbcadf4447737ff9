;; Sin: wants a feature of Wasm that is turned off: atomic instructions. Expected: rejected as no
;; valid module.
(module
  (memory (export "memory") 1)
  (func (export "_start") (drop (i32.atomic.load (i32.const 0)))))
