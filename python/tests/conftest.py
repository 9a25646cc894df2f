"""Tiny models of the repository with masks and plans, and the kscope program as the reference."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

VECTORS = Path(__file__).parents[2] / "tests" / "vectors" / "tiny"
METADATA = {
    "format": "kscope-mask", "version": "1", "model": "", "model_fingerprint": "", "channel_order": "rotate-half",
    "sink": "4", "recent": "8", "chunk": "4", "align": "1", "target_sparsity": "", "recipe": "{}",
}  # fmt: skip


def write(path, tensors, **metadata):
    """A mask or plan file."""
    save_file(tensors, path, metadata={**METADATA, **{key: str(value) for key, value in metadata.items()}})
    return path


@pytest.fixture(scope="session")
def program():
    """The kscope program: KSCOPE_PROGRAM, the repository's own build, or the one on the path."""
    built = Path(__file__).parents[2] / "target" / "release" / "kscope"
    path = os.environ.get("KSCOPE_PROGRAM") or (str(built) if built.is_file() else shutil.which("kscope"))
    assert path, "no kscope program: cargo build --release, or KSCOPE_PROGRAM=PATH"
    return path


@pytest.fixture
def tiny(tmp_path):
    """A function that makes the folder of a tiny model."""

    def folder(name):
        cases = json.loads((VECTORS / "cases.json").read_text())["cases"]
        case = next(case for case in cases if case["name"] == name)
        to = tmp_path / name
        to.mkdir()
        shutil.copy(VECTORS / name / "config.json", to)
        for file in (VECTORS / case["weights"]).iterdir():
            shutil.copy(file, to)
        return to

    return folder


@pytest.fixture
def forced(program):
    """kscope run --force-ids on token ids: the JSON object."""

    def run(model, mask, prompt, ids, *more):
        comma = lambda numbers: ",".join(map(str, numbers))
        command = [program, "run", "--model", model, "--mask", mask, "--dtype", "f32", "--kv-dtype", "f32"]
        command += ["--token-ids", comma(prompt), "--force-ids", comma(ids), "--threads", "1", "--json", *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def ragged(tmp_path):
    """A function that writes a mask or plan of every kept count, a whole and a dropped head."""

    def make(shape, plan=False, **metadata):
        layers, heads, head_dim = shape
        random = np.random.default_rng(5)
        widths = np.array([0, 2, 4, 8, 16] if plan else [0, 16], np.uint8)
        k_bits = widths[random.integers(len(widths), size=shape)]
        k_bits[0, 0], k_bits[-1, -1] = 16, 0
        v_bits = widths[1:][random.integers(len(widths) - 1, size=shape[:2])] * (k_bits.max(2) > 0)
        v_bits = v_bits.astype(np.uint8)
        mask = (k_bits > 0).astype(np.uint8)
        tensors = {"mask": mask, "k_bits": k_bits, "v_bits": v_bits} if plan else {"mask": mask}
        return write(tmp_path / f"{'plan' if plan else 'mask'}.safetensors", tensors, version=2 if plan else 1, **metadata)

    return make
