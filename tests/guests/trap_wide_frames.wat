;; Sin: calls itself without end with large frames. Expected: Trapped(StackOverflow).
(module
  (memory (export "memory") 1)
  (func $recurse (param i64) (result i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (i64.mul (local.get 0) (i64.const 3)))
    (local.set 2 (i64.mul (local.get 0) (i64.const 5)))
    (local.set 3 (i64.mul (local.get 0) (i64.const 7)))
    (local.set 4 (i64.mul (local.get 0) (i64.const 9)))
    (local.set 5 (call $recurse (i64.add (local.get 0) (i64.const 1))))
    (i64.add (local.get 5)
      (i64.add
        (i64.add (local.get 1) (local.get 2))
        (i64.add (local.get 3) (local.get 4)))))
  (func (export "_start") (drop (call $recurse (i64.const 0)))))
