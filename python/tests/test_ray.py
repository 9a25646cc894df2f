"""docs/scale/eval_ray.py on two local workers: the merged file is that of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install ray")
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "scale" / "eval_ray.py"


def split(out, command):
    own = ["--parts", "3", "--workers", "2", "--out", str(out), "--"]
    # Ray's own niceness of 15 would starve the workers on a machine that runs other tests.
    quiet = {**os.environ, "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    return subprocess.run([sys.executable, SCRIPT, *own, *command], env=quiet, capture_output=True, text=True)


def test_parts_on_two_workers_make_the_file_of_one_process(program, tmp_path):
    mask = ROOT / "masks" / "demo.safetensors"
    command = [program, "eval", "--model", "demo", "--mask", str(mask), "--suite", "recall", "--tasks", "codes"]
    command += ["--ctx", "512", "--samples", "4"]
    alone = [*command, "--threads", "1", "--out", str(tmp_path / "alone")]
    assert subprocess.run(alone, capture_output=True).returncode == 0
    expected = (tmp_path / "alone" / "results.jsonl").read_bytes()
    out = tmp_path / "split"
    done = split(out, command)
    assert done.returncode == 0, done.stderr
    assert (out / "results.jsonl").read_bytes() == expected

    # A part that was cut off after its header goes on.
    part = out / "parts" / "1" / "results.jsonl"
    part.write_bytes(part.read_bytes().splitlines(keepends=True)[0])
    (out / "results.jsonl").unlink()
    done = split(out, command)
    assert done.returncode == 0, done.stderr
    assert (out / "results.jsonl").read_bytes() == expected

    # Parts of another run are refused, and stay.
    done = split(out, [*command, "--seed", "7"])
    assert done.returncode == 2
    assert "holds results of another run" in done.stderr
    assert (out / "results.jsonl").read_bytes() == expected
