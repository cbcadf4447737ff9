#!/bin/busybox sh
# The first process of the machine of `cargo xtask vm`: it makes control groups of version 2, runs
# skep in them, and says under the name of each case what it saw.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp/home SKEP_CACHE_DIR=/tmp/cache
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 groups /sys/fs/cgroup
mkdir -p /tmp/home
ifconfig lo up
groups=/sys/fs/cgroup

# Begins a case.
say() { echo "@@ $1"; }

# Makes a group; each one above it shares its resources with those below.
make() {
  at=$groups
  for part in $(echo "$1" | tr / ' '); do
    echo "+memory +cpu +cpuset" >"$at/cgroup.subtree_control"
    at=$at/$part
    mkdir -p "$at"
  done
}

# Runs a command in a group.
within() {
  group=$groups/$1
  shift
  sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

say kernel
uname -r
say bare
skep doctor -o json

make work.slice/skep.service/a/b
unit=$groups/work.slice/skep.service
echo 1073741824 >"$unit/memory.max"
say unit
within work.slice/skep.service/a/b skep doctor -o json
say offers
within work.slice/skep.service/a/b skep dev -- sh -c '
  until skep agent list -o json | grep -q "\"state\": *\"connected\""; do sleep 1; done
  skep agent list -o json'
say tasks
# Emulated processors on a busy host may take longer than a compiler is given: then once more.
for attempt in 1 2 3 4 5; do
  within work.slice/skep.service/a/b \
    skep run --count 8 --cpus 0.1 --mem 256MiB /hold.wasm 2>/tmp/said && echo "all ended well"
  grep -q "s of CPU" /tmp/said || break
done
tail -n 5 /tmp/said
grep "^oom_kill " "$unit/memory.events"

echo 805306368 >"$unit/a/memory.high"
say high
within work.slice/skep.service/a/b skep doctor -o json
echo max >"$unit/a/memory.high"

echo "150000 100000" >"$groups/work.slice/cpu.max"
say quota
within work.slice/skep.service/a/b skep doctor -o json
echo "max 100000" >"$groups/work.slice/cpu.max"

echo 0 >"$unit/cpuset.cpus"
say cpuset
within work.slice/skep.service/a/b skep doctor -o json
echo 0-1 >"$unit/cpuset.cpus"

# A container sees its own group as the root.
echo 629145600 >"$unit/a/b/memory.max"
say container
within work.slice/skep.service/a/b /unshare --cgroup --mount sh -c '
  umount /sys/fs/cgroup && mount -t cgroup2 groups /sys/fs/cgroup || exit
  cat /proc/self/cgroup >&2
  skep doctor -o json'

# A unit with an agent, which makes a group for its executors below its own.
make agent.service
echo 1073741824 >"$groups/agent.service/memory.max"
export SKEP_MASTER=127.0.0.1:5050
skep master --listen $SKEP_MASTER --data /tmp/master >/tmp/master.log 2>&1 &
until grep -q 5050 /tmp/master.log; do sleep 1; done
token=$(skep token create --role agent -o json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
within agent.service skep agent --join "$token" --work /tmp/agent \
  --module-limits compile-seconds=600 >/tmp/agent.log 2>&1 &
say agent
skep run --count 4 --cpus 0.1 --mem 256MiB /hold.wasm 2>/tmp/said && echo "all ended well"
tail -n 5 /tmp/said
skep agent list -o json
say walls
for group in "$groups"/agent.service/*/; do
  echo "$(basename "$group") $(cat "$group/memory.max")" | sed 's/^skep-a-[^ ]*/executors/'
done
grep "^oom_kill " "$groups/agent.service/memory.events"

say end
poweroff -f
