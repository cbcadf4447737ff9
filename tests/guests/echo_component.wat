;; No sin: a component that waits for a message and sends it back. Expected: Exited(0); Exited(1) if
;; its clock is virtual.
(component
  (import "skep:cluster/messages@0.1.0" (instance $messages
    (type $enum (enum "too-large" "too-many" "virtual-clock"))
    (export "no-message" (type $no (eq $enum)))
    (type $sent (result (error $no)))
    (export "send" (func (param "message" (list u8)) (result $sent)))
    (type $bytes (list u8))
    (type $some (option $bytes))
    (type $received (result $some (error $no)))
    (export "receive" (func (param "wait-millis" u64) (result $received)))))
  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $libc (instantiate $libc))
  (core func $send (canon lower (func $messages "send") (memory (core memory $libc "memory"))))
  (core func $receive
    (canon lower (func $messages "receive") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
  (core module $main
    (import "libc" "memory" (memory 1))
    (import "messages" "send" (func $send (param i32 i32 i32)))
    (import "messages" "receive" (func $receive (param i64 i32)))
    (func (export "run") (result i32)
      (call $receive (i64.const 3600000) (i32.const 0))
      ;; An error, or no message.
      (if (i32.load8_u (i32.const 0)) (then (return (i32.const 1))))
      (if (i32.eqz (i32.load8_u (i32.const 4))) (then (return (i32.const 1))))
      (call $send (i32.load (i32.const 8)) (i32.load (i32.const 12)) (i32.const 16))
      (i32.load8_u (i32.const 16))))
  (core instance $main
    (instantiate $main
      (with "libc" (instance $libc))
      (with "messages" (instance
        (export "send" (func $send))
        (export "receive" (func $receive))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $cli (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli)))
