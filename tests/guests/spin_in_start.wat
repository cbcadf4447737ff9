;; Sin: spins in its start section, before `_start` is called. Expected: DeadlinePassed.
(module
  (memory (export "memory") 1)
  (func $spin (loop $forever (br $forever)))
  (start $spin)
  (func (export "_start")))
