#!/usr/bin/env python3
"""A second opinion on the files of make_architecture_gguf.py: llama.cpp (xllamacpp) must give transformers' numbers.

    python check_architecture_gguf.py TINY FILES      # tests/vectors/tiny tests/vectors/architectures

Prints the largest difference of the log-probabilities of the token after the prompt, and of greedy decoding.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import xllamacpp
from safetensors.numpy import load_file


def main():
    tiny, files = Path(sys.argv[1]), Path(sys.argv[2])
    for path in sorted(files.glob("*.gguf")):
        held = load_file(tiny / path.stem / "vectors.safetensors")
        prompt, greedy = held["prompt"].tolist(), held["greedy"].tolist()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = params.n_batch = params.n_ubatch = 512
        params.n_parallel = params.cpuparams.n_threads = 1
        params.n_gpu_layers = 0
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        server = xllamacpp.Server(params)
        answers = []
        request = dict(
            prompt=prompt, n_predict=len(greedy), n_probs=2000, temperature=0.0, top_k=1, cache_prompt=False,
            stream=False, ignore_eos=True,
        )  # fmt: skip
        server.handle_completions(request, lambda answer: answers.append(answer) and False)
        answer = json.loads(answers[0]) if isinstance(answers[0], (str, bytes)) else answers[0]
        if "completion_probabilities" not in answer and "choices" not in answer:
            print(path.stem, answer)
            continue
        steps = answer.get("completion_probabilities") or answer["choices"][0]["logprobs"]["content"]
        spoken = [step["id"] for step in steps]
        rows = np.concatenate([held["logits"][-1:], held["decode_logits"]])
        worst = 0.0
        for row, step, expected in zip(rows, steps, greedy):
            want = row - row.max() - np.log(np.exp(row - row.max()).sum())
            own = [entry for entry in step["top_logprobs"] if entry["id"] < len(row)]
            worst = max(worst, max(abs(entry["logprob"] - want[entry["id"]]) for entry in own))
            if step["id"] != expected:
                break
        print(f"{path.stem:16} log-probabilities within {worst:.1e}, greedy {'same' if spoken == greedy else 'DIFFERS'}", flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # llama.cpp's server threads
