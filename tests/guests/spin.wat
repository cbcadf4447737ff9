;; Sin: never ends, and never calls the host. Expected: DeadlinePassed, OutOfFuel or Killed,
;; whichever comes first; its neighbours do not notice it.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $forever (br $forever))))
