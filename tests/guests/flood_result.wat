;; Sin: returns 256 KiB, then thinks better of it, without end. Expected: DeadlinePassed; its
;; neighbours do not notice it.
(module
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (loop $more
      (if (call $result (i32.const 0) (i32.const 262144)) (then unreachable))
      (br $more))))
