#!/usr/bin/env python3
"""Decode steps of kscope and llama.cpp in turn, one model file, one table: kernel gain and pruning gain in separate columns.

    compare_decode.py MODEL.gguf --kscope PATH [--threads 1] [--depths 0,2048,4096,8000] [--rounds 3] [--ready CMD] [--done CMD]

Needs LLAMA_CPP_LIB_PATH and PYTHONPATH as peer_bench.py --serve does, which it runs. Each round measures every depth once with
each program, one right after the other; the table holds medians over rounds of times and of the ratios of each round.
--ready and --done are shell commands run before and after the measuring, to quieten the machine.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--kscope", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depths", default="0,2048,4096,8000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--ready")
    parser.add_argument("--done")
    args = parser.parse_args()
    depths = [int(d) for d in args.depths.split(",")]
    peer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("peer_bench.py")), args.model, "--serve", args.depths,
         "--threads", str(args.threads), "--gen", str(args.steps), "--quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(peer.stdout.readline().strip(), file=sys.stderr)
    if args.ready:
        subprocess.run(args.ready, shell=True)
    found = {depth: [] for depth in depths}
    try:
        for _ in range(args.rounds):
            for depth in depths:
                peer.stdin.write(f"{depth} {args.steps}\n")
                peer.stdin.flush()
                theirs = json.loads(peer.stdout.readline())["median_ms"]
                rows = json.loads(subprocess.check_output(
                    [args.kscope, "bench", "decode", "--model", args.model, "--depth", str(depth), "--steps", str(args.steps),
                     "--bench-threads", str(args.threads), "--json"], stderr=subprocess.DEVNULL))["rows"]  # fmt: skip
                found[depth].append((theirs, rows[0], rows[1]))
    finally:
        if args.done:
            subprocess.run(args.done, shell=True)
    peer.stdin.close()
    table = []
    for depth, rounds in found.items():
        median = lambda f: round(statistics.median(f(r) for r in rounds), 3)
        table.append({
            "depth": depth,
            "llama_cpp_ms": median(lambda r: r[0]),
            "dense_ms": median(lambda r: r[1]["median_ms"]),
            "pruned_ms": median(lambda r: r[2]["median_ms"]),
            "kernel_gain": median(lambda r: r[0] / r[1]["median_ms"]),
            "pruning_gain": median(lambda r: r[2]["time_ratio"]),
            "together": median(lambda r: r[0] / r[2]["median_ms"]),
            "dense_attention_ms": median(lambda r: r[1]["attention_ms"]),
            "pruned_attention_ms": median(lambda r: r[2]["attention_ms"]),
            "projections_ms": median(lambda r: r[1]["projections_ms"]),
            "logits_ms": median(lambda r: r[1]["logits_ms"]),
        })  # fmt: skip
    print(json.dumps({"model": Path(args.model).name, "threads": args.threads, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
