#!/usr/bin/env python3
"""What a mask baked into a GGUF file loses in llama.cpp, beside what `kscope compare --baked` says.

    LLAMA_CPP_LIB_PATH=llbuild/bin PYTHONPATH=llama_cpp_python-0.3.36 \
        python baked_kld.py KSCOPE MODEL.gguf MASK TEXT [--tokens 512] [--new 64]

KSCOPE bakes MASK into MODEL and compares the two on the first tokens of TEXT and on what the dense model says next.
llama.cpp then reads both files and gets the same tokens in one batch, with an f32 cache. KL(dense || baked) is in nats
over the full vocabulary at temperature 1. It ends with an error where the two means differ by .0005 or more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np


def kscope(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def log_probabilities(path, tokens):
    model = llama_cpp.Llama(
        str(path), n_ctx=len(tokens), n_batch=len(tokens), n_ubatch=len(tokens), n_threads=1, n_threads_batch=1,
        logits_all=True, verbose=False, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
    )  # fmt: skip
    model.eval(tokens)
    logits = np.array(model.scores[: len(tokens)], np.float64)
    model.close()
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def main():
    parser = argparse.ArgumentParser()
    for name in ["kscope", "model", "mask", "text"]:
        parser.add_argument(name)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--new", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        baked = Path(folder) / "baked.gguf"
        print(kscope(args.kscope, "mask", "bake", args.model, args.mask, baked).strip())
        # A run without new tokens to speak of gives the ids of the text.
        prompt = Path(folder) / "prompt.txt"
        prompt.write_text(Path(args.text).read_text()[: 8 * args.tokens])
        common = ["compare", "--baked", "--model", args.model, "--mask", args.mask, "--json", "--kv-dtype", "f32"]
        ids = json.loads(kscope(args.kscope, *common, "--raw", "--prompt-file", prompt, "--max-new", 2))
        ids = ids["tokens"][: min(args.tokens, ids["prompt_tokens"])]
        said = json.loads(
            kscope(args.kscope, *common, "--max-new", args.new, "--token-ids", ",".join(map(str, ids)))
        )
        # The last new token is not fed.
        fed = said["tokens"][:-1]
        dense, cut = log_probabilities(args.model, fed), log_probabilities(baked, fed)
    klds = (np.exp(dense) * (dense - cut)).sum(-1)
    same = dense.argmax(-1) == cut.argmax(-1)
    worst = 0.0
    for name, found, at in [
        ("prompt", said["prompt"], slice(0, len(ids))),
        ("decode", said["decode"], slice(len(ids), len(fed))),
    ]:
        mean = klds[at].mean()
        worst = max(worst, abs(mean - found["kld"]["mean"]))
        print(
            f"{name:7} {found['steps']:4} positions  KLD: kscope {found['kld']['mean']:.5f}, llama.cpp {mean:.5f}; "
            f"same top token: kscope {found['top1_agreement']:.1%}, llama.cpp {same[at].mean():.1%}"
        )
    apart = np.abs(klds[: len(ids)] - said["prompt_klds"])
    print(f"position by position of the prompt: median difference {np.median(apart):.1e}, largest {apart.max():.1e}")
    sys.exit(int(worst >= 5e-4))


if __name__ == "__main__":
    main()
