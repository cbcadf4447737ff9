;; No sin: says its first argument and a line feed. Expected: exit 0, with that line.
;;
;; Says its first argument and a line feed. If that is 0, it sleeps first: as many milliseconds as
;; its second argument says. If it is not, it first says as many x as its third argument says, if
;; there is one.
(module
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)

  (func $number (param $at i32) (result i64)
    (local $sum i64)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (i32.load8_u (local.get $at))))
        (local.set $sum
          (i64.add
            (i64.mul (local.get $sum) (i64.const 10))
            (i64.extend_i32_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $sum))

  (func $sleep (param $millis i64)
    ;; A subscription of the monotonic clock, relative.
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.mul (local.get $millis) (i64.const 1000000)))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))

  (func $say (param $at i32) (param $bytes i32)
    (i32.store (i32.const 200) (local.get $at))
    (i32.store (i32.const 204) (local.get $bytes))
    (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208))))

  (func $pad (param $left i32)
    (local $piece i32)
    (memory.fill (i32.const 16384) (i32.const 120) (i32.const 32768))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $left)))
        (local.set $piece
          (select (local.get $left) (i32.const 32768)
            (i32.lt_u (local.get $left) (i32.const 32768))))
        (call $say (i32.const 16384) (local.get $piece))
        (local.set $left (i32.sub (local.get $left) (local.get $piece)))
        (br $next))))

  (func (export "_start")
    (local $text i32) (local $end i32)
    (drop (call $args_get (i32.const 1024) (i32.const 4096)))
    (local.set $text (i32.load (i32.const 1028)))
    (if (i32.eq (i32.load16_u (local.get $text)) (i32.const 48))
      (then (call $sleep (call $number (i32.load (i32.const 1032)))))
      (else
        (if (i32.load (i32.const 1036))
          (then (call $pad (i32.wrap_i64 (call $number (i32.load (i32.const 1036)))))))))
    (local.set $end (local.get $text))
    (loop $next
      (local.set $end (i32.add (local.get $end) (i32.const 1)))
      (br_if $next (i32.load8_u (local.get $end))))
    (i32.store8 (local.get $end) (i32.const 10))
    (call $say (local.get $text)
      (i32.add (i32.sub (local.get $end) (local.get $text)) (i32.const 1)))))
