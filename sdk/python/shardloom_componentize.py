#!/usr/bin/env python3
"""Makes a component of a handler in Python: `shardloom_componentize.py HANDLER.py --out FILE [--wit DIR] [--path DIR]...`

A module that has the name Handler is a shard handler; one that has the name IncomingHandler is a component of wasi:http, which
can ask where it runs if it imports `shardloom_http.where`.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: The world of a module, by the name that it must have.
WORLDS = {"Handler": "shard-handler", "IncomingHandler": "http-proxy"}
#: What is behind the name of a world where a component of it can ask where it runs.
PLACED = "-placed"
#: The module that asks.
WHERE = "shardloom_http.where"


def world_of(handler: Path) -> str:
    """The world that a module is written for, by the names that it gives at its top, and by what it imports."""
    names = set()
    placed = ""
    for step in ast.parse(handler.read_text(), str(handler)).body:
        match step:
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(module=module, names=imported):
                names |= {one.asname or one.name for one in imported}
                placed = PLACED if module == WHERE else placed
            case ast.Import(names=imported) if any(one.name == WHERE for one in imported):
                placed = PLACED
    found = [world for name, world in WORLDS.items() if name in names]
    if len(found) != 1:
        raise SystemExit(f"{handler}: it must have one of the names {' and '.join(WORLDS)}")
    return found[0] + (placed if found[0] == WORLDS["IncomingHandler"] else "")


def componentize(handler: Path, out: Path, wit: Path, paths: list[Path], world: str) -> None:
    """Builds one handler."""
    command = [tool(), "-d", str(wit), "-w", world, "componentize"]
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
    parser = argparse.ArgumentParser(description="Make a component of a handler in Python.")
    parser.add_argument("handler", type=Path, help="the module that has the name Handler, or IncomingHandler")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the component")
    parser.add_argument("--wit", type=Path, default=HERE.parent.parent / "wit", help="the interfaces")
    parser.add_argument("-p", "--path", type=Path, action="append", default=[], help="where more modules are")
    parser.add_argument("--world", help="which of them it is for, where the names of the handler do not say it")
    asked = parser.parse_args()
    if not asked.handler.is_file():
        raise SystemExit(f"{asked.handler}: there is no such file")
    componentize(asked.handler.resolve(), asked.out, asked.wit, asked.path, asked.world or world_of(asked.handler))


if __name__ == "__main__":
    main()
