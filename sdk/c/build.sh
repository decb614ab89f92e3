#!/bin/sh
# Makes a component of a handler in C: build.sh HANDLER.c OUT.wasm [flags of the compiler]
#
# WORLD is the world that it is of: shard-handler, unless it is set; http-proxy-placed for a component of wasi:http.
# WIT_BINDGEN, WASM_TOOLS and CC_WASM name the tools where they are not on the PATH under their own names; WIT is the
# directory of the interfaces, which is that of this repository unless it is set.
set -eu

if [ $# -lt 2 ]; then
  echo "usage: build.sh HANDLER.c OUT.wasm [flags of the compiler]" >&2
  exit 2
fi
source=$1 out=$2
shift 2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
wit=${WIT:-$here/../../wit}
world=${WORLD:-shard-handler}
bindings=$(echo "$world" | tr - _)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${WIT_BINDGEN:-wit-bindgen}" c "$wit" --world "$world" --out-dir "$work" >/dev/null
# CC_WASM may be several words: the compiler and its first arguments.
${CC_WASM:-python3 -m ziglang cc} -target wasm32-wasi -mexec-model=reactor -std=c11 -Os -s -Wall -Wextra -Werror "$@" \
  -I "$work" -I "$here" "$source" "$work/$bindings.c" "$work/${bindings}_component_type.o" -o "$work/core.wasm"
"${WASM_TOOLS:-wasm-tools}" component new "$work/core.wasm" -o "$out"
