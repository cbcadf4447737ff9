;; No sin: copies the file "in/data" of its own folder to "out/data", which it makes. Expected:
;; Exited { code: 0 }, and a trap if something is not as it should be.
(module
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $make (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "in/data")
  (data (i32.const 16) "out/data")
  ;; Opens the file of a name below directory 3, and gives its number.
  (func $open (param $name i32) (param $length i32) (param $flags i32) (result i32)
    (if (call $path_open
          (i32.const 3) (i32.const 0) (local.get $name) (local.get $length) (local.get $flags)
          (i64.const 0x4001e6) (i64.const 0x4001e6) (i32.const 0) (i32.const 32))
      (then unreachable))
    (i32.load (i32.const 32)))

  (func (export "_start") (local $from i32) (local $to i32) (local $left i32)
    (local.set $from (call $open (i32.const 0) (i32.const 7) (i32.const 0)))
    ;; "out" may be there.
    (drop (call $make (i32.const 3) (i32.const 16) (i32.const 3)))
    (local.set $to (call $open (i32.const 16) (i32.const 8) (i32.const 9)))
    (loop $more
      (i32.store (i32.const 40) (i32.const 1024))
      (i32.store (i32.const 44) (i32.const 65536))
      (if (call $read (local.get $from) (i32.const 40) (i32.const 1) (i32.const 48))
        (then unreachable))
      (local.set $left (i32.load (i32.const 48)))
      (if (local.get $left)
        (then
          (loop $rest
            (i32.store (i32.const 44) (local.get $left))
            (if (call $write (local.get $to) (i32.const 40) (i32.const 1) (i32.const 48))
              (then unreachable))
            (i32.store (i32.const 40)
              (i32.add (i32.load (i32.const 40)) (i32.load (i32.const 48))))
            (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 48))))
            (br_if $rest (local.get $left)))
          (br $more))))))
