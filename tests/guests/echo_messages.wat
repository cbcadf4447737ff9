;; No sin: waits for messages, an hour for each, and sends back each that comes, until it is told to
;; end. Expected: Killed, with a result of one byte if it was told.
(module
  (import "skep" "send" (func $send (param i32 i32) (result i32)))
  (import "skep" "receive" (func $receive (param i32 i32 i64) (result i32)))
  (import "skep" "result" (func $result (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $length i32)
    (loop $again
      (local.set $length
        (call $receive (i32.const 0) (i32.const 0x10000) (i64.const 3600000)))
      (if (i32.ge_s (local.get $length) (i32.const 0))
        (then
          (if (call $send (i32.const 0) (local.get $length)) (then unreachable))
          (br $again))))
    (if (i32.ne (local.get $length) (i32.const -2)) (then unreachable))
    (drop (call $result (i32.const 0) (i32.const 1)))))
