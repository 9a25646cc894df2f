"""Puts the kscope program into the wheel as a script.

The variable KSCOPE_BINARY says where it comes from: a path of a built program; `none` for a wheel
without it; unset: built from this repository by cargo, and an error where that cannot be.
"""

import os
import shutil
import subprocess
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags


class Program(BuildHookInterface):
    """The hook that hatch calls for a wheel."""

    def initialize(self, version, build_data):
        if version == "editable":
            return
        program = self.program()
        if program is None:
            return
        build_data["shared_scripts"] = {str(program): program.name}
        build_data["pure_python"] = False
        platform = os.environ.get("KSCOPE_PLATFORM") or next(platform_tags())
        build_data["tag"] = f"py3-none-{platform}"

    def program(self):
        """The path of the program, or None where the wheel goes without it."""
        chosen = os.environ.get("KSCOPE_BINARY", "")
        if chosen == "none":
            return None
        if chosen:
            # A relative path starts at the repository.
            path = (Path(self.root).parent / chosen).resolve()
            if not path.is_file():
                raise FileNotFoundError(f"KSCOPE_BINARY: expected a program, found no file at {path}")
            # The script in the wheel has the file's name.
            if path.stem != "kscope":
                copy = Path(self.directory) / f"kscope{path.suffix}"
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
                return copy
            return path
        root = Path(self.root).parent
        missing = "no cargo on the path" if shutil.which("cargo") is None else None
        missing = missing if (root / "Cargo.toml").is_file() else f"no Rust sources in {root}"
        if missing:
            raise RuntimeError(
                f"{missing}, so the kscope program cannot be built: set KSCOPE_BINARY=none for the Python "
                "package without the program, or KSCOPE_BINARY to the path of a built one"
            )
        subprocess.run(
            ["cargo", "build", "--release", "--locked", "--bin", "kscope"], cwd=root, check=True
        )
        target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        name = "kscope.exe" if os.name == "nt" else "kscope"
        return (root / target / "release" / name).resolve()
