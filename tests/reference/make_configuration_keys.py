#!/usr/bin/env python3
"""What transformers does with every key of a config.json that kscope reads, at values of every type.

    python make_configuration_keys.py tests/vectors

Writes configuration_keys.json there. Each of `cases` is one key of one tiny model (tiny/BASE), at
the top of the file or in its section `place`, after the changes in `change`; `found` has one entry
for each of `values`: the sum of the log-probabilities of a fixed text after its first token, or
null where transformers stops, finds weights missing or gives no finite number. `absent` is the same
without the key. Needs torch and transformers.
"""

import argparse
import json
import logging
import math
import os
import tempfile
import warnings
from pathlib import Path

from make_configuration_values import DYNAMIC, IDS, LLAMA3, LONGROPE, ORIGINAL, TOKENS

VALUES = [None, "x", "8", "", True, False, 0, 1, -1, 2, 4.0, 0.5, 0.0, -0.5, 1e30, [], [1], {}, {"a": 1}]
YARN = {"rope_type": "yarn", "factor": 4.0, ORIGINAL: 64}
TOP = """model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim
    max_position_embeddings sliding_window rms_norm_eps hidden_act rope_theta rope_scaling rope_parameters original_max_position_embeddings
    partial_rotary_factor tie_word_embeddings attention_bias mlp_bias use_sliding_window max_window_layers layer_types bos_token_id
    eos_token_id quantization_config compression_config pad_token_id""".split()
COMMON = ["rope_type", "type", "rope_theta", "partial_rotary_factor"]
SECTIONS = {
    "default": ({"rope_type": "default"}, []),
    "linear": ({"rope_type": "linear", "factor": 4.0}, ["factor"]),
    "dynamic": (DYNAMIC, ["factor"]),
    "llama3": (LLAMA3 | {ORIGINAL: 64}, ["factor", "low_freq_factor", "high_freq_factor", ORIGINAL]),
    "yarn": (YARN, ["factor", ORIGINAL, "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"]),
    "yarn-mscale": (YARN | {"mscale": 1.0, "mscale_all_dim": 0.7}, ["mscale", "mscale_all_dim", "attention_factor"]),
    "longrope": (LONGROPE | {ORIGINAL: 64}, ["factor", ORIGINAL, "attention_factor", "short_factor", "long_factor"]),
}
WINDOWS = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
FAR = {"max_position_embeddings": 64}


def cases():
    for base in ["llama", "mistral", "qwen2", "qwen3"]:
        for key in TOP:
            yield dict(base=base, change={}, place=None, key=key)
    for base in ["qwen2", "qwen3"]:
        for key in WINDOWS:
            yield dict(base=base, change=WINDOWS, place=None, key=key)
    for section, keys in SECTIONS.values():
        change = {"rope_scaling": section} | (FAR if section is DYNAMIC else {})
        for key in COMMON + keys:
            yield dict(base="llama", change=change, place="rope_scaling", key=key)
        if ORIGINAL in keys:
            yield dict(base="llama", change=change, place=None, key=ORIGINAL)
        yield dict(base="llama", change=change, place=None, key="max_position_embeddings")


def value_of(vectors, case, value, remove=False):
    import torch
    from transformers import AutoModelForCausalLM

    config = json.loads((vectors / f"tiny/{case['base']}/config.json").read_text())
    config.update(json.loads(json.dumps(case["change"])))
    place = config[case["place"]] if case["place"] else config
    place.pop(case["key"], None)
    if not remove:
        place[case["key"]] = value
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        for weights in (vectors / f"tiny/weights/{case['base']}").iterdir():
            os.symlink(weights.resolve(), Path(folder) / weights.name)
        try:
            model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
            if info["missing_keys"] or info["mismatched_keys"]:
                return None
            with torch.no_grad():
                rows = model.eval()(torch.tensor([IDS])).logits[0].double().log_softmax(-1)
        except Exception:
            return None
    found = float(sum(rows[i, IDS[i + 1]] for i in range(TOKENS - 1)))
    return round(found, 4) if math.isfinite(found) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path, help="tests/vectors")
    vectors = parser.parse_args().vectors
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = []
    for case in cases():
        found = [value_of(vectors, case, value) for value in VALUES]
        case |= dict(absent=value_of(vectors, case, None, remove=True), found=found)
        print(json.dumps(case), flush=True)
        out.append(json.dumps(case))
    lines = ",\n".join(out)
    text = f'{{"token_ids": {json.dumps(IDS)},\n"values": {json.dumps(VALUES)},\n"cases": [\n{lines}\n]}}\n'
    (vectors / "configuration_keys.json").write_text(text)


if __name__ == "__main__":
    main()
    os._exit(0)
