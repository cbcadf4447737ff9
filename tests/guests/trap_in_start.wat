;; Sin: traps in its start section, before `_start` is called. Expected: Trapped(Unreachable).
(module
  (memory (export "memory") 1)
  (func $start unreachable)
  (start $start)
  (func (export "_start")))
