#!/usr/bin/env python3
"""llama.cpp's decode time per token, for a comparison in one run.

    peer_bench.py MODEL.gguf --llama-bench PATH [--threads 1] [--fa 0] [--depths 0,2048,4096,8192]
                  [--pp 512] [--gen 48] [--repetitions 3]          all depths and the prefill, through llama-bench
    peer_bench.py MODEL.gguf --llama-bench PATH --one 4096         one depth, one repetition, no prefill row
    peer_bench.py MODEL.gguf --serve 0,4096 [--threads 1]          stays alive; see below

Each prints one JSON object: {"engine","build","model","threads","fa","kv","rows":[{"depth","median_ms",
"tokens_per_s","samples_ms"}],"prefill":{"tokens","median_ms","tokens_per_s"} or null}. median_ms is per token.

--serve is for interleaving without filling the context again each time. It needs LLAMA_CPP_LIB_PATH and PYTHONPATH
(README.md), loads the model once, fills one sequence to each depth (with --prefill-threads), prints {"ready": ...},
and then answers every line "DEPTH [TOKENS]" on standard input by decoding that many tokens (default --gen) from
that depth, cut back afterwards, with one line {"depth","median_ms","mean_ms","tokens_per_s","samples_ms"}. It does
what llama-bench does per token: llama_decode and llama_synchronize on a random token, no sampling; an empty line or
end of file ends it. Between the lines it takes no CPU with one thread.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path


def llama_bench(args, depths, repetitions, pp):
    command = [
        args.llama_bench, "-m", args.model, "-t", args.threads, "-fa", args.fa, "-ctk", args.kv, "-ctv", args.kv,
        "-n", args.gen, "-p", 0, "-d", ",".join(map(str, depths)), "-r", repetitions, "-o", "json",
    ]  # fmt: skip

    def run(command):
        quiet = subprocess.DEVNULL if args.quiet else None
        return json.loads(subprocess.check_output([str(word) for word in command], stderr=quiet))

    rows, prefill, results = [], None, run(command)
    for result in results:
        samples = [ns / 1e6 / args.gen for ns in result["samples_ns"]]
        rows.append(row(result["n_depth"], samples))
    if pp:
        result = run(command[: command.index("-n")] + ["-n", 0, "-p", pp, "-r", repetitions, "-o", "json"])[0]
        median = statistics.median(result["samples_ns"]) / 1e6
        prefill = dict(tokens=pp, median_ms=round(median, 3), tokens_per_s=round(pp / median * 1e3, 2))
    return dict(
        engine="llama.cpp", build=results[0]["build_commit"], model=Path(args.model).name, threads=args.threads,
        fa=args.fa, kv=args.kv, rows=rows, prefill=prefill,
    )  # fmt: skip


def row(depth, samples):
    median = statistics.median(samples)
    return dict(
        depth=depth, median_ms=round(median, 4), tokens_per_s=round(1e3 / median, 2),
        samples_ms=[round(s, 4) for s in samples],
    )  # fmt: skip


def serve(args, depths):
    import llama_cpp

    @llama_cpp.llama_log_callback
    def silent(level, text, user):
        pass

    keep = silent
    llama_cpp.llama_log_set(keep, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(args.model.encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise SystemExit(f"{args.model}: llama.cpp cannot load it")
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    kind = {
        "f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32,
        "q8_0": llama_cpp.GGML_TYPE_Q8_0, "q4_0": llama_cpp.GGML_TYPE_Q4_0,
    }[args.kv]  # fmt: skip
    random.seed(1)

    def decode(context):
        batch = (llama_cpp.llama_token * 1)(random.randrange(vocab))
        start = time.perf_counter()
        assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(batch, 1)) == 0
        llama_cpp.llama_synchronize(context)
        return (time.perf_counter() - start) * 1e3

    def cut(context, depth):
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(context), 0, depth, -1)

    contexts = {}
    for depth in depths:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = -(-(depth + args.gen) // 256) * 256
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_threads, params.n_threads_batch = args.threads, args.prefill_threads
        params.flash_attn_type = args.fa
        params.type_k = params.type_v = kind
        context = llama_cpp.llama_init_from_model(model, params)
        for start in range(0, depth, 2048):
            tokens = [random.randrange(vocab) for _ in range(min(2048, depth - start))]
            batch = (llama_cpp.llama_token * len(tokens))(*tokens)
            assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(batch, len(tokens))) == 0
        decode(context)  # pages the weights in
        cut(context, depth)
        contexts[depth] = context
    say = lambda value: print(json.dumps(value), flush=True)
    say(dict(ready=depths, engine="llama.cpp", version=llama_cpp.__version__, model=Path(args.model).name,
             threads=args.threads, fa=args.fa, kv=args.kv))  # fmt: skip
    for line in sys.stdin:
        words = line.split()
        if not words:
            break
        depth, count = int(words[0]), int(words[1]) if len(words) > 1 else args.gen
        if depth not in contexts:
            raise SystemExit(f"depth {depth} was not among {depths}")
        samples = [decode(contexts[depth]) for _ in range(min(count, args.gen))]
        cut(contexts[depth], depth)
        say(row(depth, samples) | dict(mean_ms=round(statistics.fmean(samples), 4)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--llama-bench", help="the program; needed unless --serve")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fa", type=int, choices=(0, 1), default=0, help="flash attention (default 0, faster here)")
    parser.add_argument("--kv", choices=("f16", "f32", "q8_0", "q4_0"), default="f16")
    parser.add_argument("--depths", default="0,2048,4096,8192")
    parser.add_argument("--gen", type=int, default=48, help="tokens decoded per sample")
    parser.add_argument("--pp", type=int, default=512, help="prompt tokens of the prefill row, 0 for none")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", type=int, metavar="DEPTH")
    parser.add_argument("--serve", metavar="DEPTHS")
    parser.add_argument("--prefill-threads", type=int, default=os.cpu_count())
    parser.add_argument("--quiet", action="store_true", help="hide llama-bench's own messages")
    args = parser.parse_args()
    numbers = lambda text: [int(n) for n in text.split(",")]
    if args.serve is not None:
        return serve(args, numbers(args.serve))
    if not args.llama_bench:
        parser.error("--llama-bench PATH is needed")
    if args.one is not None:
        result = llama_bench(args, [args.one], 1, 0)
    else:
        result = llama_bench(args, numbers(args.depths), args.repetitions, args.pp)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
