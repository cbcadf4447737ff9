;; No sin: empties its own folder of files as C programs do: it lists in pieces of 128 bytes, and
;; removes each file as its entry comes. Expected: the count of those that it removed is its exit
;; code, and a trap if one was gone already.
(module
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $path_unlink_file (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $cookie i64) (local $at i32) (local $end i32) (local $name i32) (local $removed i32)
    (loop $piece
      (if (call $fd_readdir
          (i32.const 3) (i32.const 64) (i32.const 128) (local.get $cookie) (i32.const 0))
        (then unreachable))
      (local.set $end (i32.add (i32.const 64) (i32.load (i32.const 0))))
      (local.set $at (i32.const 64))
      (block $cut
        (loop $entry
          (br_if $cut (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)))
          (local.set $name (i32.add (local.get $at) (i32.const 24)))
          (br_if $cut (i32.gt_u
            (i32.add (local.get $name) (i32.load offset=16 (local.get $at))) (local.get $end)))
          (local.set $cookie (i64.load (local.get $at)))
          ;; 4: a file.
          (if (i32.eq (i32.load8_u offset=20 (local.get $at)) (i32.const 4))
            (then
              (if (call $path_unlink_file
                  (i32.const 3) (local.get $name) (i32.load offset=16 (local.get $at)))
                (then unreachable))
              (local.set $removed (i32.add (local.get $removed) (i32.const 1)))))
          (local.set $at
            (i32.add (local.get $name) (i32.load offset=16 (local.get $at))))
          (br $entry)))
      (br_if $piece (i32.eq (i32.load (i32.const 0)) (i32.const 128))))
    (call $proc_exit (local.get $removed))))
