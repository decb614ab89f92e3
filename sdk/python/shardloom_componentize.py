#!/usr/bin/env python3
"""Makes a component of a handler in Python: `shardloom_componentize.py HANDLER.py --out FILE [--wit DIR] [--path DIR]...`

A guest gets no WASI but logging and configuration, and CPython asks for much more. componentize-py can put traps in the
place of what WASI a guest imports, but only of all of it. So the two that are served go by another name, of the same
length, while it does so.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORLD = "shard-handler"
SERVED = "wasi:"
#: The name of what is served meanwhile: just as long, since it is put back in the binary.
KEPT = "kept:"
#: The module that a guest knows the settings by; it would be called after the other name.
CONFIG = re.compile(r"package (kept:config)@([^;]+);")


def rename(wit: Path, to: Path) -> str:
    """Copies the WIT, with the served interfaces under the other name; returns the one of the settings."""
    shutil.copytree(wit, to)
    config = None
    for path in to.rglob("*.wit"):
        text = path.read_text().replace(SERVED, KEPT)
        path.write_text(text)
        if found := CONFIG.search(text):
            config = f"{found[1]}/store@{found[2]}"
    if config is None:
        raise SystemExit(f"{wit}: there is no wasi:config")
    return config


def restore(component: bytes) -> bytes:
    """Gives the served interfaces their names back."""
    return re.sub(KEPT.encode() + rb"(?=[a-z-]+/[a-z-]+@[0-9])", SERVED.encode(), component)


def componentize(handler: Path, out: Path, wit: Path, paths: list[Path]) -> None:
    """Builds one handler."""
    with tempfile.TemporaryDirectory(prefix="shardloom-") as work:
        renamed = Path(work, "wit")
        config = rename(wit, renamed)
        made = Path(work, "made.wasm")
        command = [tool(), "-d", str(renamed), "-w", WORLD]
        command += ["--import-interface-name", f"{config}=wasi_config_store"]
        command += ["componentize", "--stub-wasi"]
        for path in [handler.parent, HERE, *paths]:
            command += ["-p", str(path)]
        command += [handler.stem, "-o", str(made)]
        # A panic of the tool says where in the tool; what is wrong is above it.
        env = {**os.environ, "RUST_BACKTRACE": "0"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        if done.returncode != 0:
            raise SystemExit(f"componentize-py failed:\n{done.stdout}")
        component = restore(made.read_bytes())
    out.write_bytes(component)
    print(f"{out}: {len(component)} bytes")


def tool() -> str:
    """componentize-py: that beside this interpreter, as in a virtual environment, or that on the PATH."""
    beside = Path(sys.executable).parent / "componentize-py"
    found = str(beside) if beside.exists() else shutil.which("componentize-py")
    if found is None:
        raise SystemExit("componentize-py is not there: pip install componentize-py==0.25.1")
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Make a component of a shard handler in Python.")
    parser.add_argument("handler", type=Path, help="the module that has the name Handler")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the component")
    parser.add_argument("--wit", type=Path, default=HERE.parent.parent / "wit", help="the interfaces")
    parser.add_argument("-p", "--path", type=Path, action="append", default=[], help="where more modules are")
    asked = parser.parse_args()
    if not asked.handler.is_file():
        raise SystemExit(f"{asked.handler}: there is no such file")
    componentize(asked.handler.resolve(), asked.out, asked.wit, asked.path)


if __name__ == "__main__":
    main()
