#!/usr/bin/env python3
"""Makes a component of a handler in Python: `shardloom_componentize.py HANDLER.py --out FILE [--wit DIR] [--path DIR]...`"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORLD = "shard-handler"


def componentize(handler: Path, out: Path, wit: Path, paths: list[Path]) -> None:
    """Builds one handler."""
    command = [tool(), "-d", str(wit), "-w", WORLD, "componentize"]
    for path in [handler.parent, HERE, *paths]:
        command += ["-p", str(path)]
    command += [handler.stem, "-o", str(out)]
    # A panic of the tool says where in the tool; what is wrong is above it.
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode != 0:
        raise SystemExit(f"componentize-py failed:\n{done.stdout}")
    print(f"{out}: {out.stat().st_size} bytes")


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
