#!/usr/bin/env python3
"""Values of GGUF element types, as gguf-py widens them, and figures of heads and tied embeddings, as transformers
reads them.

    python weights_vectors.py OUT          # OUT = tests/vectors/weights, beside the folder tiny

Writes OUT/types.safetensors: for every type `TYPE.blocks` (random bytes with scales that are numbers) and
`TYPE.values`; and OUT/heads.json: for every change of tests/vectors/tiny's models the sum of the log-probabilities of
a prompt. tests/model/weights.rs makes the same changes.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf import quants
from safetensors.torch import load_file, save_file

TYPES = [Type.IQ4_NL, Type.IQ4_XS, Type.MXFP4]
BLOCKS = {Type.IQ4_NL: 16, Type.IQ4_XS: 4, Type.MXFP4: 16}
PROMPT = [1] + [(i * 7) % 96 for i in range(1, 40)]
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def blocks(kind, rng):
    size = GGML_QUANT_SIZES[kind][1]
    out = rng.integers(0, 256, (BLOCKS[kind], size), dtype=np.uint8)
    if kind == Type.MXFP4:
        out[:, 0] = [0, 1, 2, 3, 126, 127, 128, 129, 64, 100, 110, 120, 125, 130, 140, 150]
    else:
        scale = rng.normal(0, 0.02, (BLOCKS[kind], 1)).astype("<f2")
        out[:, :2] = scale.view(np.uint8)
    return out


def other_head(tensors):
    """A head that has nothing to do with the embedding: its rows backwards."""
    return tensors | {HEAD: tensors[EMBEDDING].flip(0).contiguous()}


def changes():
    """name -> (what is done to the tensors, what is done to the configuration)"""
    drop = lambda name: lambda tensors: {key: value for key, value in tensors.items() if key != name}
    bare = lambda tensors: {key.removeprefix("model."): value for key, value in tensors.items()}
    tie = lambda tied: dict(tie_word_embeddings=tied)
    one_name = lambda tensors: drop(EMBEDDING)(tensors) | {HEAD: tensors[EMBEDDING]}
    same = lambda tensors: tensors | {HEAD: tensors[EMBEDDING].clone()}
    return {
        "tied": (drop(HEAD), tie(True)),
        "tied-other-head": (other_head, tie(True)),
        "tied-equal-head": (same, tie(True)),
        "tied-only-head": (one_name, tie(True)),
        "untied-other-head": (other_head, tie(False)),
        "bare-names": (lambda tensors: bare(drop(HEAD)(tensors)), tie(True)),
        "bare-names-other-head": (lambda tensors: bare(other_head(tensors)), tie(True)),
        "f64": (lambda tensors: {k: v.double() for k, v in drop(HEAD)(tensors).items()}, tie(True)),
        "head-bias": (lambda tensors: other_head(tensors) | {"lm_head.bias": torch.ones(96)}, tie(False)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    rng, tensors = np.random.default_rng(14), {}
    for kind in TYPES:
        raw = blocks(kind, rng)
        tensors[f"{kind.name}.blocks"] = torch.from_numpy(raw)
        values = quants.dequantize(raw, kind).astype(np.float32)
        assert np.isfinite(values).all()
        tensors[f"{kind.name}.values"] = torch.from_numpy(values)
    save_file(tensors, out / "types.safetensors")

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tiny = out.parent / "tiny"
    cases = {case["name"]: case for case in json.loads((tiny / "cases.json").read_text())["cases"]}
    sums = {}
    for base in ["llama", "qwen2"]:
        for name, (edit, keys) in changes().items():
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                config = json.loads((tiny / base / "config.json").read_text()) | keys
                (folder / "config.json").write_text(json.dumps(config))
                files = sorted((tiny / cases[base]["weights"]).glob("*.safetensors"))
                weights = {key: value.float() for file in files for key, value in load_file(file).items()}
                save_file(edit(weights), folder / "model.safetensors", metadata=dict(format="pt"))
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    folder, dtype=torch.float32, attn_implementation="eager"
                ).eval()
                with torch.no_grad():
                    rows = model(torch.tensor([PROMPT])).logits[0].log_softmax(-1)
                sums[f"{base}/{name}"] = float(rows[:-1].gather(1, torch.tensor(PROMPT[1:])[:, None]).sum())
                print(base, name, sums[f"{base}/{name}"])
    versions = dict(transformers=transformers.__version__, torch=torch.__version__.split("+")[0])
    (out / "heads.json").write_text(json.dumps(dict(versions=versions, prompt=PROMPT, sums=sums), indent=1) + "\n")


if __name__ == "__main__":
    main()
