;; No sin: does to the network what its first argument says. `c` and a port: connects to 127.0.0.1
;; there and writes `hello`; `b`: binds port 0 of 127.0.0.1; `l` and a name: looks the name up.
;; Expected: Exited(0), or 10 more than the error code of wasi:sockets with which it was refused.
;; A core module that imports WASI 0.2; `components/network.wasm` is the component made of it.
(module
  (import "wasi:cli/environment@0.2.12" "get-arguments" (func $arguments (param i32)))
  (import "wasi:cli/exit@0.2.12" "exit-with-code" (func $exit (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
  (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket"
    (func $create (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.start-connect"
    (func $start_connect
      (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.finish-connect"
    (func $finish_connect (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.start-bind"
    (func $start_bind (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.finish-bind"
    (func $finish_bind (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.subscribe"
    (func $subscribe (param i32) (result i32)))
  (import "wasi:sockets/ip-name-lookup@0.2.12" "resolve-addresses"
    (func $resolve (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "hello")
  (global $free (mut i32) (i32.const 4096))
  (global $socket (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  ;; Exits if the result at 0 is an error, whose code lies at the given address.
  (func $check (param $code i32)
    (if (i32.load8_u (i32.const 0))
      (then (call $exit (i32.add (i32.const 10) (i32.load8_u (local.get $code)))))))

  (func $number (param $at i32) (param $length i32) (result i32)
    (local $value i32) (local $i i32)
    (loop $digits
      (if (i32.lt_u (local.get $i) (local.get $length))
        (then
          (local.set $value
            (i32.add
              (i32.mul (local.get $value) (i32.const 10))
              (i32.sub
                (i32.load8_u (i32.add (local.get $at) (local.get $i)))
                (i32.const 48))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $digits))))
    (local.get $value))

  (func $connect (param $port i32)
    (call $start_connect
      (global.get $socket) (call $network) (i32.const 0) (local.get $port)
      (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0))
    (call $check (i32.const 1))
    (call $block (call $subscribe (global.get $socket)))
    (call $finish_connect (global.get $socket) (i32.const 0))
    (call $check (i32.const 4))
    (call $write (i32.load (i32.const 8)) (i32.const 64) (i32.const 5) (i32.const 0))
    (if (i32.load8_u (i32.const 0)) (then unreachable)))

  (func $bind
    (call $start_bind
      (global.get $socket) (call $network) (i32.const 0) (i32.const 0)
      (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0))
    (call $check (i32.const 1))
    (call $block (call $subscribe (global.get $socket)))
    (call $finish_bind (global.get $socket) (i32.const 0))
    (call $check (i32.const 1)))

  (func (export "wasi:cli/run@0.2.12#run") (result i32)
    (local $mode i32) (local $at i32) (local $length i32) (local $entry i32)
    (call $arguments (i32.const 0))
    ;; The second argument: after the program's own name.
    (local.set $entry (i32.add (i32.load (i32.const 0)) (i32.const 8)))
    (local.set $at (i32.load (local.get $entry)))
    (local.set $length (i32.sub (i32.load (i32.add (local.get $entry) (i32.const 4))) (i32.const 1)))
    (local.set $mode (i32.load8_u (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (local.get $mode) (i32.const 0x6c))
      (then
        (call $resolve (call $network) (local.get $at) (local.get $length) (i32.const 0))
        (call $check (i32.const 4))
        (return (i32.const 0))))
    (call $create (i32.const 0) (i32.const 0))
    (call $check (i32.const 4))
    (global.set $socket (i32.load (i32.const 4)))
    (if (i32.eq (local.get $mode) (i32.const 0x62))
      (then (call $bind))
      (else (call $connect (call $number (local.get $at) (local.get $length)))))
    (i32.const 0)))
