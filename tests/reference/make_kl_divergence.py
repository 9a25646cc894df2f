#!/usr/bin/env python3
"""What llama-perplexity writes and prints, for the tests of `kscope eval --suite text`.

    ninja -C llbuild bin/llama-perplexity            # as README.md builds llama-bench
    LD_LIBRARY_PATH=llbuild/bin python make_kl_divergence.py llbuild/bin/llama-perplexity F16.gguf ../vectors [KSCOPE]

F16.gguf is SmolLM2 as README.md makes it. Writes OUT/eval/llama_q4_0.bin and llama_f32.bin (base logits of two
tiny models, as llama.cpp writes them) and OUT/eval/kl_divergence.json:

- `tiny`: the blocks that llama.cpp prints for the f32 model against each of these files. The f32 model computes the
  same in both programs, so every line must agree to rounding.
- `smollm2`: PPL and the blocks of an f16 cache against itself and of a q8_0 cache, with the token ids of the chunks and
  the negative log-probability of every scored position in the base file.

With KSCOPE, a program, also checks the other direction: llama.cpp reads the base file that kscope writes.
"""

import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TINY = {"ctx": 128, "chunks": 2}
SMOLLM2 = {"ctx": 512, "chunks": 3}


def perplexity(program, model, text, base, ctx, chunks, *more):
    """Lines that llama-perplexity prints. The last lines are lost now and then when it ends, so it is asked again."""
    command = [program, "-m", model, "-f", text, "-c", ctx, "-b", ctx, "-ub", ctx, "--chunks", chunks, "-t", 1]
    command = [str(word) for word in [*command, "--kl-divergence-base", base, *more]]
    last = "Same top p:" if "--kl-divergence" in more else "Final estimate"
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if last in done.stdout + done.stderr:
            return (done.stdout + done.stderr).splitlines()
    raise SystemExit(f"{command}: the end of the output is missing")


def blocks(lines):
    start = lines.index("====== Perplexity statistics ======")
    end = next(at for at, line in enumerate(lines) if line.startswith("Same top p:"))
    return lines[start : end + 1]


def base_file(path):
    """Tokens [chunks, ctx] and log-probabilities [chunks, scored, vocabulary]."""
    data = Path(path).read_bytes()
    assert data[:8] == b"_logits_"
    ctx, vocab, chunks = struct.unpack("<3i", data[8:20])
    tokens = np.frombuffer(data, "<i4", ctx * chunks, 20).reshape(chunks, ctx)
    rows = np.frombuffer(data, "<u2", offset=20 + 4 * ctx * chunks).reshape(chunks, ctx - 1 - ctx // 2, -1)
    head = np.ascontiguousarray(rows[:, :, :4]).view("<f4")
    return tokens, head[:, :, :1] * rows[:, :, 4 : 4 + vocab] + head[:, :, 1:]


def main():
    program, smollm2, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    text = out / "smollm2_text.txt"
    exact = ["-fa", "off", "-ctk", "f32", "-ctv", "f32"]
    model = out / "gguf" / "llama-f32.gguf"
    tiny = []
    for name in ["q4_0", "f32"]:
        base = out / "eval" / f"llama_{name}.bin"
        perplexity(program, out / "gguf" / f"llama-{name}.gguf", text, base, *TINY.values(), *exact)
        printed = perplexity(program, model, text, base, *TINY.values(), *exact, "--kl-divergence")
        tiny.append({"base": base.name, "model": model.name, "blocks": blocks(printed)})
    if sys.argv[4:]:
        written_by_kscope(sys.argv[4], program, model, text, exact)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.bin"
        cache = lambda kind: ["-fa", "on", "-ctk", kind, "-ctv", kind]  # noqa: E731
        lines = perplexity(program, smollm2, text, base, *SMOLLM2.values(), *cache("f16"))
        ppl = re.search(r"Final estimate: PPL = ([\d.]+)", "\n".join(lines)).group(1)
        rows = {}
        for kind in ["f16", "q8_0", "q4_0"]:
            more = [*cache(kind), "--kl-divergence"]
            rows[kind] = blocks(perplexity(program, smollm2, text, base, *SMOLLM2.values(), *more))
        tokens, log_p = base_file(base)
    first = SMOLLM2["ctx"] // 2
    following = tokens[:, first + 1 :]
    nll = -np.take_along_axis(log_p, following[:, :, None], 2)[:, :, 0]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    data = {
        "llama_cpp": "llama-cpp-python 0.3.36: " + (version.stdout + version.stderr).splitlines()[-1],
        "tiny": {**TINY, "rows": tiny},
        "smollm2": {
            **SMOLLM2,
            "ppl": float(ppl),
            "blocks": rows,
            "tokens": tokens.tolist(),
            "nll": [[round(float(value), 4) for value in chunk] for chunk in nll],
        },
    }
    (out / "eval" / "kl_divergence.json").write_text(json.dumps(data, ensure_ascii=False) + "\n")


def written_by_kscope(kscope, program, model, text, exact):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.bin"
        asked = ["--suite", "text", "--text", text, "--ctx", TINY["ctx"], "--chunks", TINY["chunks"]]
        command = [kscope, "eval", "--model", model, "--plan", "k8v8", "--kv-dtype", "f32", *asked, "--save-base", base]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        printed = blocks(perplexity(program, model, text, base, *TINY.values(), *exact, "--kl-divergence"))
    print("llama.cpp on the base file that kscope wrote:", *printed, sep="\n")


if __name__ == "__main__":
    main()
