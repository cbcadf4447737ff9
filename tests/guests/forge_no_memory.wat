;; Sin: calls the host and exports no memory. Expected: Trapped(HostCall).
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (memory 1)
  (func (export "_start") (drop (call $sched_yield))))
