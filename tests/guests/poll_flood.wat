;; Sin: waits for a thousand clocks at once, each of which costs the host a handle. Expected:
;; Trapped(HostCall).
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start")
    (drop (call $poll_oneoff (i32.const 0) (i32.const 65536) (i32.const 1000) (i32.const 131072)))))
