#!/usr/bin/env python3
"""A second opinion on the tiny GGUF files: llama.cpp's logits, greedy tokens and token ids against the vectors.

    LLAMA_CPP_LIB_PATH=llbuild/bin PYTHONPATH=llama_cpp_python-0.3.36 python check_gguf_with_llama_cpp.py DIR [CASE...]

DIR = tests/vectors/gguf. llama.cpp quantises activations to 8 bit for quantised weights, so logits agree to a few
per mille there and to rounding for f32.
"""

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np
from safetensors.numpy import load_file


def main():
    folder = Path(sys.argv[1])
    data, held = json.loads((folder / "cases.json").read_text()), load_file(folder / "vectors.safetensors")
    bad = 0
    for case in data["cases"]:
        name = case["name"]
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        model = llama_cpp.Llama(
            str(folder / case["file"]), n_ctx=256, n_batch=256, n_ubatch=256, n_threads=1, n_threads_batch=1,
            logits_all=True, verbose=False, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
        )  # fmt: skip
        prompt, greedy = held[f"{name}.prompt"].tolist(), held[f"{name}.greedy"].tolist()
        model.eval(prompt + greedy)
        rows = np.array(model.scores[: len(prompt) + len(greedy)])
        want = np.concatenate([held[f"{name}.logits"], held[f"{name}.decode_logits"]])
        at = data["positions"] + list(range(len(prompt), len(prompt) + len(greedy)))
        error = np.abs(rows[at] - want).max() / np.abs(want).max()
        spoken = rows[len(prompt) - 1 : -1].argmax(-1).tolist()
        differing = []
        for text, ids in zip(data["strings"], case["token_ids"]):
            got = model.tokenize(text.encode(), add_bos=case["pre"] == "default", special=True)
            if got != ids:
                differing.append((text, ids, got))
        print(f"{name:18} rel {error:.1e}  greedy {'same' if spoken == greedy else 'DIFFER'}  token ids {len(differing)} differ")
        for text, ids, got in differing:
            print("   ", repr(text), "\n      tokenizers", ids, "\n      llama.cpp ", got)
        bad += spoken != greedy
        model.close()
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
