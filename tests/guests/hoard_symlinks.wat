;; Sin: makes symbolic links, until it is refused, then fails as programs do. Expected:
;; DiskLimit, with exactly as many names in its directory as it may have.
(module
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; The name stands at 0 and counts up in letters that are no slash.
  (func $next (local $n i32)
    (local.set $n (i32.add (i32.load (i32.const 4096)) (i32.const 1)))
    (i32.store (i32.const 4096) (local.get $n))
    (i32.store (i32.const 0)
      (i32.add (i32.const 0x61616161)
        (i32.or (i32.and (local.get $n) (i32.const 15))
          (i32.shl (i32.and (local.get $n) (i32.const 0xfff0)) (i32.const 4))))))
  (func (export "_start") (local $errno i32)
    (loop $more
      (call $next)
      (local.set $errno (call $path_symlink
        (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 0) (i32.const 4)))
      (br_if $more (i32.eqz (local.get $errno))))
    (if (i32.ne (local.get $errno) (i32.const 51)) (then unreachable))
    (call $proc_exit (i32.const 1))))
