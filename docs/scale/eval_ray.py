"""Splits one `kscope eval` over the workers of a Ray cluster and puts the parts together.

    pip install ray
    python docs/scale/eval_ray.py --parts 8 --cpus 4 --out results -- \\
        kscope eval --model smollm2-135m --mask masks/smollm2-135m-0.7.safetensors --ctx 1k,2k

What stands after `--` is the command as on one machine, without --threads, --shard and --out. Every
machine needs the program, the model and the masks under the same names. No shared folder is needed:
a part travels back as bytes. Run again, the script goes on with the parts that are under --out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ray

OWN = ("--threads", "--shard", "--out")


class Killed(Exception):
    """kscope was ended by a signal: the machine may have been taken away, so Ray tries again."""


def part_of(command, part, parts, cpus, held):
    """Runs one part from the results it already has. Returns (exit code, last words, results)."""
    with tempfile.TemporaryDirectory(prefix="kscope-part-") as folder:
        results = Path(folder, "results.jsonl")
        if held:
            results.write_bytes(held)
        split = ["--threads", str(cpus), "--shard", f"{part}/{parts}", "--out", folder]
        done = subprocess.run([*command, *split], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        words = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode < 0:
            raise Killed(f"part {part}/{parts}: signal {-done.returncode}")
        return done.returncode, words[-1] if words else "", results.read_bytes() if results.exists() else b""


def save(path, content):
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    os.replace(beside, path)


def arguments():
    parser = argparse.ArgumentParser(usage="%(prog)s --parts N --out DIR [options] -- kscope eval ...")
    parser.add_argument("--parts", type=int, required=True, help="parts of the run; the same number when it goes on")
    parser.add_argument("--cpus", type=int, default=1, help="processors and threads of a part [default: 1]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and their parts")
    parser.add_argument("--address", help="Ray cluster, such as `auto` [default: this machine]")
    parser.add_argument("--workers", type=int, help="without --address: parts at once [default: processors / --cpus]")
    parser.add_argument("command", nargs="+", help="kscope eval and its arguments")
    given = parser.parse_args()
    if given.parts < 1 or given.cpus < 1:
        parser.error("--parts and --cpus are at least 1")
    own = [word for word in given.command if word.split("=")[0] in OWN]
    if own:
        parser.error(f"{own[0]} is set by this script for every part")
    return given


def main():
    given = arguments()
    if given.address:
        ray.init(address=given.address)
    else:
        ray.init(num_cpus=given.workers and given.workers * given.cpus, include_dashboard=False)
    files = {part: given.out / "parts" / str(part) / "results.jsonl" for part in range(1, given.parts + 1)}
    remote = ray.remote(num_cpus=given.cpus, max_retries=3, retry_exceptions=[Killed])(part_of)
    running = {}
    for part, file in files.items():
        held = file.read_bytes() if file.exists() else b""
        running[remote.remote(given.command, part, given.parts, given.cpus, held)] = part
    failed = 0
    while running:
        [ready], _ = ray.wait(list(running), num_returns=1)
        part = running.pop(ready)
        try:
            code, words, content = ray.get(ready)
        except ray.exceptions.RayError as cause:
            code, words, content = 1, str(cause).strip().splitlines()[-1], b""
        if content:
            save(files[part], content)
        failed = failed or code
        said = f"failed: {words}" if code else "done"
        print(f"part {part}/{given.parts} {said}; {len(running)} to go", file=sys.stderr, flush=True)
    ray.shutdown()
    if failed:
        return failed
    parts = [str(file.parent) for file in files.values()]
    return subprocess.run([given.command[0], "eval", "merge", *parts, "--out", str(given.out)]).returncode


if __name__ == "__main__":
    sys.exit(main())
