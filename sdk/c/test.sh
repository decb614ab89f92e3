#!/bin/sh
# Runs the tests of shardloom.h on this machine. WIT_BINDGEN and CC name the tools, WIT the directory of the interfaces.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${WIT_BINDGEN:-wit-bindgen}" c "${WIT:-$here/../../wit}" --world shard-handler --no-object-file --out-dir "$work" >/dev/null
${CC:-cc} -std=c11 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
  -I "$work" -I "$here" "$here/test/shardloom_test.c" -o "$work/test"
"$work/test"
