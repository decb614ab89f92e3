#!/bin/sh
# Runs tests on this machine: those of the headers, or test.sh TEST.c for those of a handler.
#
# WIT_BINDGEN and CC name the tools where they are not on the PATH as wit-bindgen and cc; WIT is the directory of the
# interfaces, which is that of this repository unless it is set.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for world in shard-handler http-proxy-placed; do
  "${WIT_BINDGEN:-wit-bindgen}" c "${WIT:-$here/../../wit}" --world "$world" --no-object-file --out-dir "$work" >/dev/null
done
if [ $# -eq 0 ]; then set -- "$here/test/shardloom_test.c" "$here/test/shardloom_http_test.c"; fi
for test in "$@"; do
  ${CC:-cc} -std=c11 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
    -I "$work" -I "$here" -I "$here/testing" "$test" -o "$work/test"
  "$work/test"
done
