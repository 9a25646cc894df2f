#!/usr/bin/env python3
"""Decode steps of kscope and of llama.cpp in turn, one model file, one table.

    compare_decode.py MODEL.gguf --kscope PATH [--peer-kv f16,q8_0,q4_0] [--plan k8v8 --plan FILE ...] [--mask FILE]
                      [--sparsity 0.7] [--threads 1] [--depths 0,2048,4096,8000] [--rounds 3] [--steps 12]
                      [--ready CMD] [--done CMD]

Needs LLAMA_CPP_LIB_PATH and PYTHONPATH as peer_bench.py --serve does, which it runs once for each of llama.cpp's caches: f16
without flash attention, which is its faster setting on a CPU; quantised ones with it, because llama.cpp reads quantised values
only so. Each round measures every depth once with every program, one right after the other; the table holds medians over rounds
of times and of the ratios of each round. --ready and --done are shell commands run before and after the measuring, to quieten
the machine.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path


def peer(args, kv):
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("peer_bench.py")), args.model, "--serve", args.depths, "--kv", kv,
         "--fa", "0" if kv == "f16" else "1", "--threads", str(args.threads), "--gen", str(args.steps), "--quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(process.stdout.readline().strip(), file=sys.stderr)
    return process


def peer_ms(process, depth, steps):
    process.stdin.write(f"{depth} {steps}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())["median_ms"]


def kscope_rows(args, depth):
    command = [args.kscope, "bench", "decode", "--model", args.model, "--depth", str(depth), "--steps", str(args.steps),
               "--bench-threads", str(args.threads), "--sparsity", args.sparsity, "--json"]  # fmt: skip
    for plan in args.plan:
        command += ["--plan", plan]
    if args.mask:
        command += ["--mask", args.mask]
    return json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))["rows"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--kscope", required=True)
    parser.add_argument("--peer-kv", default="f16")
    parser.add_argument("--plan", action="append", default=[])
    parser.add_argument("--mask")
    parser.add_argument("--sparsity", default="0.7")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depths", default="0,2048,4096,8000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--ready")
    parser.add_argument("--done")
    args = parser.parse_args()
    depths = [int(d) for d in args.depths.split(",")]
    peers = {kv: peer(args, kv) for kv in args.peer_kv.split(",")}
    if args.ready:
        subprocess.run(args.ready, shell=True)
    found = {depth: [] for depth in depths}
    try:
        for _ in range(args.rounds):
            for depth in depths:
                theirs = {kv: peer_ms(process, depth, args.steps) for kv, process in peers.items()}
                found[depth].append((theirs, kscope_rows(args, depth)))
    finally:
        if args.done:
            subprocess.run(args.done, shell=True)
        for process in peers.values():
            process.stdin.close()
    table = []
    for depth, rounds in found.items():
        median = lambda f: round(statistics.median(f(r) for r in rounds), 3)
        for kv in peers:
            table.append({"depth": depth, "engine": "llama.cpp", "cache": kv, "ms": median(lambda r: r[0][kv])})
        for index, row in enumerate(rounds[0][1]):
            ours = lambda r: r[1][index]
            table.append({
                "depth": depth,
                "engine": "kscope",
                "cache": Path(row["plan"]).name,
                "bytes_share": round(row["bytes_share"], 3),
                "ms": median(lambda r: ours(r)["median_ms"]),
                "attention_ms": median(lambda r: ours(r)["attention_ms"]),
                "projections_ms": median(lambda r: ours(r)["projections_ms"]),
                "logits_ms": median(lambda r: ours(r)["logits_ms"]),
                "times_dense": median(lambda r: r[1][0]["median_ms"] / ours(r)["median_ms"]),
                **{f"times_llama_cpp_{kv}": median(lambda r: r[0][kv] / ours(r)["median_ms"]) for kv in peers},
            })  # fmt: skip
    print(json.dumps({"model": Path(args.model).name, "threads": args.threads, "rows": table}, indent=1))


if __name__ == "__main__":
    main()
