;; Sin: spins through a jump table of its own. Expected: DeadlinePassed; its neighbours do not
;; notice it.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $state i32)
    (loop $more
      (local.set $state (i32.add (i32.mul (local.get $state) (i32.const 5)) (i32.const 1)))
      (block $b (block $a
        (br_table $a $b $more (i32.and (local.get $state) (i32.const 3)))))
      (br $more))))
