#!/bin/sh
# The system calls of this machine as {number, "name"}, from the compiler's own <sys/syscall.h>.
# usage: call_names.sh COMPILER... OUTPUT
set -eu
for output in "$@"; do :; done
count=$#
for word in "$@"; do
  shift
  count=$((count - 1))
  if [ "$count" != 0 ]; then set -- "$@" "$word"; fi
done
echo '#include <sys/syscall.h>' | "$@" -x c -E -dM - |
  sed -n 's/^#define SYS_\([a-z0-9_]*\) .*/{SYS_\1, "\1"},/p' >"$output"
