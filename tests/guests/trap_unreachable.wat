;; Sin: panics, two functions deep. Expected: Trapped(Unreachable) with both functions' names.
(module
  (memory (export "memory") 1)
  (func $_ZN4main5inner17h0123456789abcdefE unreachable)
  (func $outer (call $_ZN4main5inner17h0123456789abcdefE))
  (func $start (export "_start") (call $outer)))
