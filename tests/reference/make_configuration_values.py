#!/usr/bin/env python3
"""What transformers and llama.cpp compute for configurations that are spelled unusually.

    python make_configuration_values.py tests/vectors

Writes configurations.json there. Every case changes the configuration of a tiny model that is in
the folder (tiny/NAME, or a GGUF file) and holds the log-probability of a fixed text: the sum of all
tokens after the first for folders (transformers), that of the last token for GGUF files
(llama.cpp). A case without a value is one that kscope refuses; `words` are in its message. `decoded`
has the log-probabilities of tokens that are decoded one by one after a prompt (transformers). In a
change, {"remove": true} takes a key out. Needs torch, transformers, gguf and xllamacpp.
"""

import argparse
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np

TOKENS = 120
IDS = [3 + (i * i * 7 + i * 13 + 5) % 89 for i in range(TOKENS)]
REMOVE = {"remove": True}
THETA = 500000.0
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SHORT = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
LONG = [1, 2.0, 3, 4, 5, 6, 7, 8.5]
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0}
ORIGINAL = "original_max_position_embeddings"


def yarn(**more):
    return {"rope_scaling": YARN | more}


# case -> (base, change)
FOLDERS = {
    "plain": ("llama", {}),
    "rope_scaling-false": ("llama", {"rope_scaling": False}),
    "rope_scaling-empty": ("llama", {"rope_scaling": {}}),
    "theta-missing": ("llama", {"rope_theta": REMOVE}),
    "theta-in-rope_parameters": ("llama", {"rope_theta": REMOVE, "rope_parameters": {"rope_type": "default", "rope_theta": THETA}}),
    "theta-in-rope_scaling": ("llama", {"rope_scaling": {"rope_type": "default", "rope_theta": THETA}}),
    "linear-int-factor": ("llama", {"rope_scaling": {"type": "linear", "factor": 4}}),
    "linear-other-keys": ("llama", {"rope_scaling": {"type": "linear", "factor": 4.0, "attention_factor": 2.0}}),
    "default-factor": ("llama", {"rope_scaling": {"type": "default", "factor": 4.0}}),
    "dynamic-within": ("llama", {"rope_scaling": DYNAMIC}),
    "dynamic-beyond": ("llama", {"rope_scaling": DYNAMIC, "max_position_embeddings": 64}),
    "dynamic-original-ignored": ("llama", {"rope_scaling": DYNAMIC | {ORIGINAL: 16}, "max_position_embeddings": 64}),
    "yarn": ("llama", yarn()),
    "yarn-int-factor": ("llama", yarn(factor=4)),
    "yarn-original-float": ("llama", yarn(original_max_position_embeddings=64.0)),
    "yarn-original-missing": ("llama", {"rope_scaling": {"type": "yarn", "factor": 4.0}}),
    "yarn-original-top": ("llama", {"rope_scaling": {"type": "yarn", "factor": 4.0}, ORIGINAL: 64}),
    "yarn-original-both": ("llama", yarn() | {ORIGINAL: 32}),
    "yarn-original-tiny": ("llama", yarn(original_max_position_embeddings=2)),
    "yarn-type-and-rope_type": ("llama", yarn(type="linear")),
    "yarn-factor-null": ("llama", yarn(factor=None)),
    "yarn-factor-below-one": ("llama", yarn(factor=0.5)),
    "yarn-mscale-equal": ("llama", yarn(mscale=1.0, mscale_all_dim=1.0)),
    "yarn-mscale-differ": ("llama", yarn(mscale=0.707, mscale_all_dim=1)),
    "yarn-mscale-alone": ("llama", yarn(mscale=0.5)),
    "yarn-mscale_all_dim-alone": ("llama", yarn(mscale_all_dim=0.5)),
    "yarn-mscale-zero": ("llama", yarn(mscale=0, mscale_all_dim=1.0)),
    "yarn-attention_factor": ("llama", yarn(attention_factor=0.8, mscale=0.707, mscale_all_dim=1.0)),
    "yarn-attention_factor-null": ("llama", yarn(attention_factor=None)),
    "yarn-betas": ("llama", yarn(beta_fast=16, beta_slow=2)),
    "yarn-betas-null": ("llama", yarn(beta_fast=None, beta_slow=None)),
    "yarn-truncate-false": ("llama", yarn(truncate=False)),
    "yarn-truncate-null": ("llama", yarn(truncate=None)),
    "llama3-original-missing": ("llama", {"rope_scaling": LLAMA3}),
    "llama3-original-top": ("llama", {"rope_scaling": LLAMA3, ORIGINAL: 64}),
    "llama3-original-inside": ("llama", {"rope_scaling": LLAMA3 | {ORIGINAL: 64}}),
    "longrope-within": ("llama", {"rope_scaling": LONGROPE | {ORIGINAL: 256}}),
    "longrope-beyond": ("llama", {"rope_scaling": LONGROPE | {ORIGINAL: 64}}),
    "longrope-factor": ("llama", {"rope_scaling": LONGROPE | {"factor": 16.0}, ORIGINAL: 64}),
    "longrope-attention_factor": ("llama", {"rope_scaling": LONGROPE | {"attention_factor": 1.1, ORIGINAL: 64}}),
    "both-scaling-wins": ("llama", {"rope_theta": THETA, "rope_scaling": YARN, "rope_parameters": {"rope_type": "default", "rope_theta": THETA}}),
    "both-theta-in-the-other": ("llama", {"rope_theta": REMOVE, "rope_scaling": YARN, "rope_parameters": {"rope_type": "default", "rope_theta": THETA}}),
    "both-parameters-empty": ("llama", {"rope_scaling": YARN, "rope_parameters": {}}),
    "both-scaling-null": ("llama", {"rope_scaling": None, "rope_parameters": YARN}),
    "both-scaling-empty": ("llama", {"rope_scaling": {}, "rope_parameters": YARN}),
    "both-differ": ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": YARN}),
    "swish": ("llama", {"hidden_act": "swish"}),
    "eps-missing": ("llama", {"rms_norm_eps": REMOVE}),
    "attention_bias-missing": ("llama", {"attention_bias": REMOVE}),
    "mistral-biases": ("mistral", {"attention_bias": True, "mlp_bias": True}),
    "qwen2-biases": ("qwen2", {"attention_bias": False, "mlp_bias": True}),
    "qwen3-mlp_bias": ("qwen3", {"mlp_bias": True}),
    "qwen2-windows-off": ("qwen2", {"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 0}),
    "qwen2-no-layer-slides": ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 28, "layer_types": None}),
    "harmless-keys": ("llama", {"logit_scale": 1.0, "rope_interleaved": False, "pretraining_tp": 2, "use_mrope": False}),
    "yarn-betas-swapped": ("llama", yarn(beta_fast=1, beta_slow=32)),
    "yarn-attention_factor-negative": ("llama", yarn(attention_factor=-0.5)),
    "yarn-attention_factor-zero": ("llama", yarn(attention_factor=0.0)),
    "yarn-beta_fast-zero": ("llama", yarn(beta_fast=0)),
    "yarn-truncate-zero": ("llama", yarn(truncate=0)),
    "yarn-factor-huge": ("llama", yarn(factor=1e30)),
    "dynamic-factor-below-one": ("llama", {"rope_scaling": DYNAMIC | {"factor": 0.5}}),
    "llama3-equal": ("llama", {"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0, ORIGINAL: 64}}),
    "llama3-swapped": ("llama", {"rope_scaling": LLAMA3 | {"low_freq_factor": 8.0, ORIGINAL: 64}}),
    "mistral-window-flag": ("mistral", {"sliding_window": 64, "use_sliding_window": False}),
    "llama-window": ("llama", {"sliding_window": 8}),
    "unknown-key": ("llama", {"no_such_key": 3}),
}

# case -> (base, change, words of the refusal)
REFUSED_FOLDERS = {
    "linear-factor-missing": ("llama", {"rope_scaling": {"type": "linear"}}, ["rope_scaling", "`factor`", "missing"]),
    "linear-factor-null": ("llama", {"rope_scaling": {"type": "linear", "factor": None}}, ["`factor`"]),
    "linear-factor-zero": ("llama", {"rope_scaling": {"type": "linear", "factor": 0}}, ["factor", "positive"]),
    "linear-factor-negative": ("llama", {"rope_scaling": {"type": "linear", "factor": -2.0}}, ["factor", "-2"]),
    "linear-factor-text": ("llama", {"rope_scaling": {"type": "linear", "factor": "4"}}, ["`factor`", "number"]),
    "yarn-factor-missing": ("llama", {"rope_scaling": {"type": "yarn"}}, ["`factor`", "missing"]),
    "yarn-original-zero": ("llama", yarn(original_max_position_embeddings=0), [ORIGINAL, "0"]),
    "yarn-truncate-text": ("llama", yarn(truncate="false"), ["truncate", "false"]),
    "yarn-factor-true": ("llama", yarn(factor=True), ["`factor`", "true"]),
    "yarn-theta-one": ("llama", yarn(rope_theta=1.0), ["`rope_theta`", "1"]),
    "yarn-original-fraction": ("llama", yarn(original_max_position_embeddings=64.5), [ORIGINAL, "64.5"]),
    "yarn-beta-negative": ("llama", yarn(beta_slow=-1), ["beta_slow", "-1"]),
    "llama3-low-zero": ("llama", {"rope_scaling": LLAMA3 | {"low_freq_factor": 0}}, ["low_freq_factor"]),
    "llama3-low-null": ("llama", {"rope_scaling": LLAMA3 | {"low_freq_factor": None}}, ["low_freq_factor"]),
    "longrope-short-missing": ("llama", {"rope_scaling": {"type": "longrope", "long_factor": LONG}}, ["`short_factor`"]),
    "longrope-too-few": ("llama", {"rope_scaling": LONGROPE | {"short_factor": [1.0]}}, ["short_factor", "8"]),
    "longrope-zero": ("llama", {"rope_scaling": LONGROPE | {"long_factor": [0.0] * 8}}, ["long_factor", "0"]),
    "kind-unknown": ("llama", {"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}}, ["`mrope`", "longrope"]),
    "kind-su": ("llama", {"rope_scaling": LONGROPE | {"rope_type": "su"}}, ["`su`", "longrope"]),
    "kind-number": ("llama", {"rope_scaling": {"rope_type": 3}}, ["rope_type", "3"]),
    "section-text": ("llama", {"rope_scaling": "linear"}, ["`rope_scaling`", "object"]),
    "section-nested": ("llama", {"rope_parameters": {"full_attention": YARN}}, ["`full_attention`", "layers"]),
    "partial-top": ("llama", {"partial_rotary_factor": 0.5}, ["`partial_rotary_factor`", "0.5"]),
    "partial-inside": ("llama", yarn(partial_rotary_factor=0.5), ["`partial_rotary_factor`", "0.5"]),
    "theta-null": ("llama", {"rope_theta": None}, ["`rope_theta`", "null"]),
    "theta-zero": ("llama", {"rope_theta": 0}, ["theta", "0"]),
    "theta-negative": ("llama", {"rope_theta": -1e4}, ["theta", "-10000"]),
    "eps-zero": ("llama", {"rms_norm_eps": 0}, ["epsilon", "0"]),
    "eps-negative": ("llama", {"rms_norm_eps": -1e-5}, ["epsilon"]),
    "eps-null": ("llama", {"rms_norm_eps": None}, ["rms_norm_eps", "null"]),
    "act-number": ("llama", {"hidden_act": 3}, ["hidden_act", "3"]),
    "logit_scale": ("llama", {"logit_scale": 0.5}, ["`logit_scale`", "0.5"]),
    "is_causal-false": ("llama", {"is_causal": False}, ["`is_causal`", "false"]),
    "experts": ("llama", {"num_local_experts": 8}, ["`num_local_experts`"]),
    "softcap": ("llama", {"final_logit_softcapping": 30.0}, ["`final_logit_softcapping`"]),
    "layer_types-unknown": ("qwen2", {"layer_types": ["full_attention", "chunked_attention"]}, ["layer_types", "chunked_attention"]),
    "layer_types-no-window": ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}, ["layer_types", "sliding_window"]),
}

S = "llama.rope.scaling."
LINEAR_G = {S + "type": ["string", "linear"], S + "factor": ["f32", 4.0]}
YARN_G = {S + "type": ["string", "yarn"], S + "factor": ["f32", 4.0], S + "original_context_length": ["u32", 64]}
ATTN = {S + "attn_factor": ["f32", 0.8]}
NONE_G = {S + "type": ["string", "none"]}

# case -> (base, change)
GGUF = {
    "plain": ("llama-f32", {}),
    "linear": ("llama-f32", LINEAR_G),
    "type-missing": ("llama-f32", {S + "factor": ["f32", 4.0]}),
    "scale_linear": ("llama-f32", {"llama.rope.scale_linear": ["f32", 4.0]}),
    "scale_linear-and-factor": ("llama-f32", {"llama.rope.scale_linear": ["f32", 2.0], S + "factor": ["f32", 4.0]}),
    "scale_linear-and-yarn": ("llama-f32", {"llama.rope.scale_linear": ["f32", 4.0], S + "type": ["string", "yarn"]}),
    "linear-factor-missing": ("llama-f32", {S + "type": ["string", "linear"]}),
    "none-factor": ("llama-f32", NONE_G | {S + "factor": ["f32", 4.0]}),
    "none-attn_factor": ("llama-f32", NONE_G | ATTN),
    "missing-attn_factor": ("llama-f32", ATTN),
    "linear-attn_factor": ("llama-f32", LINEAR_G | ATTN),
    "yarn": ("llama-f32", YARN_G),
    "yarn-original-missing": ("llama-f32", {S + "type": ["string", "yarn"], S + "factor": ["f32", 4.0]}),
    "yarn-factor-missing": ("llama-f32", {S + "type": ["string", "yarn"]}),
    "yarn-factor-below-one": ("llama-f32", YARN_G | {S + "factor": ["f32", 0.5]}),
    "yarn-attn_factor": ("llama-f32", YARN_G | ATTN),
    "yarn-finetuned": ("llama-f32", YARN_G | {S + "finetuned": ["bool", True]}),
    "yarn-usual-betas": ("llama-f32", YARN_G | {S + "yarn_beta_fast": ["f32", 32.0], S + "yarn_beta_slow": ["f32", 1.0], S + "yarn_ext_factor": ["f32", 1.0]}),
    "theta": ("llama-f32", {"llama.rope.freq_base": ["f32", THETA]}),
    "causal": ("llama-f32", {"llama.attention.causal": ["bool", True]}),
    "divisors": ("llama-rope-freqs", {}),
    "divisors-linear": ("llama-rope-freqs", LINEAR_G),
    "divisors-yarn": ("llama-rope-freqs", YARN_G),
    "divisors-attn_factor": ("llama-rope-freqs", ATTN),
    "divisors-yarn-attn_factor": ("llama-rope-freqs", YARN_G | ATTN),
}

# case -> (base, change, words of the refusal)
REFUSED_GGUF = {
    "type-longrope": ("llama-f32", {S + "type": ["string", "longrope"]}, ["rope.scaling.type", "longrope"]),
    "type-unknown": ("llama-f32", {S + "type": ["string", "ntk"]}, ["rope.scaling.type", "ntk"]),
    "type-number": ("llama-f32", {S + "type": ["u32", 2]}, ["rope.scaling.type", "string"]),
    "factor-zero": ("llama-f32", {S + "factor": ["f32", 0.0]}, ["factor", "0"]),
    "factor-negative": ("llama-f32", {S + "factor": ["f32", -4.0]}, ["factor", "-4"]),
    "factor-text": ("llama-f32", {S + "factor": ["string", "4"]}, ["rope.scaling.factor", "string", "f32"]),
    "attn_factor-negative": ("llama-f32", {S + "attn_factor": ["f32", -1.0]}, ["attn_factor", "-1"]),
    "causal-false": ("llama-f32", {"llama.attention.causal": ["bool", False]}, ["attention.causal", "false"]),
    "attention.scale": ("llama-f32", {"llama.attention.scale": ["f32", 0.3]}, ["attention.scale", "0.3"]),
    "logit_scale": ("llama-f32", {"llama.logit_scale": ["f32", 0.5]}, ["logit_scale", "0.5"]),
    "softcap": ("llama-f32", {"llama.final_logit_softcapping": ["f32", 30.0]}, ["final_logit_softcapping"]),
    "yarn_beta_fast": ("llama-f32", YARN_G | {S + "yarn_beta_fast": ["f32", 16.0]}, ["yarn_beta_fast", "16"]),
    "yarn_ext_factor": ("llama-f32", YARN_G | {S + "yarn_ext_factor": ["f32", 0.5]}, ["yarn_ext_factor", "0.5"]),
    "linear-yarn_ext_factor": ("llama-f32", LINEAR_G | {S + "yarn_ext_factor": ["f32", 1.0]}, ["yarn_ext_factor", "1"]),
    "yarn_attn_factor": ("llama-f32", YARN_G | {S + "yarn_attn_factor": ["f32", 0.8]}, ["yarn_attn_factor", "0.8"]),
    "yarn_log_multiplier": ("llama-f32", YARN_G | {S + "yarn_log_multiplier": ["f32", 0.1]}, ["yarn_log_multiplier", "0.1"]),
    "experts": ("llama-f32", {"llama.expert_count": ["u32", 4]}, ["expert_used_count", "missing"]),
    "eps-negative": ("llama-f32", {"llama.attention.layer_norm_rms_epsilon": ["f32", -1e-5]}, ["epsilon"]),
    "eps-text": ("llama-f32", {"llama.attention.layer_norm_rms_epsilon": ["string", "x"]}, ["layer_norm_rms_epsilon", "string", "f32"]),
    "eps-missing": ("llama-f32", {"llama.attention.layer_norm_rms_epsilon": None}, ["layer_norm_rms_epsilon", "missing"]),
    "theta-zero": ("llama-f32", {"llama.rope.freq_base": ["f32", 0.0]}, ["theta", "0"]),
    "theta-text": ("llama-f32", {"llama.rope.freq_base": ["string", "x"]}, ["rope.freq_base", "string", "f32"]),
}

# case -> (base, change, tokens of the prompt); the rest of the text is decoded token by token
DECODED = {
    f"{kind}-{prompt}": ("llama", change, prompt)
    for kind, change in {
        "plain": {},
        "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}, "max_position_embeddings": 128},
        "dynamic": {"rope_scaling": DYNAMIC, "max_position_embeddings": 64},
        "llama3": {"rope_scaling": LLAMA3 | {ORIGINAL: 64}},
        "yarn": yarn(),
        "longrope": {"rope_scaling": LONGROPE | {ORIGINAL: 64}},
    }.items()
    for prompt in (40, 64, 80)
}

TYPES = {
    "string": gguf.GGUFValueType.STRING,
    "f32": gguf.GGUFValueType.FLOAT32,
    "u32": gguf.GGUFValueType.UINT32,
    "bool": gguf.GGUFValueType.BOOL,
}


@contextmanager
def transformers_model(vectors, base, change):
    import torch
    from transformers import AutoModelForCausalLM

    config = json.loads((vectors / f"tiny/{base}/config.json").read_text())
    for key, value in change.items():
        config.pop(key, None)
        if value != REMOVE:
            config[key] = value
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        for weights in (vectors / f"tiny/weights/{base}").iterdir():
            os.symlink(weights.resolve(), Path(folder) / weights.name)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            yield model, torch


def transformers_value(vectors, base, change):
    with transformers_model(vectors, base, change) as (model, torch):
        rows = model(torch.tensor([IDS])).logits[0].double().log_softmax(-1)
    return float(sum(rows[i, IDS[i + 1]] for i in range(TOKENS - 1)))


def decoded_values(vectors, base, change, prompt):
    """Log-probabilities of the tokens after the prompt, over a cache that grows by one token a step."""
    with transformers_model(vectors, base, change) as (model, torch):
        out = model(torch.tensor([IDS[:prompt]]), use_cache=True)
        found = []
        for at in range(prompt, TOKENS):
            found.append(float(out.logits[0, -1].double().log_softmax(-1)[IDS[at]]))
            out = model(torch.tensor([[IDS[at]]]), past_key_values=out.past_key_values, use_cache=True)
    return [round(value, 5) for value in found]


def llama_cpp_value(vectors, base, change):
    import xllamacpp

    reader = gguf.GGUFReader(vectors / f"gguf/{base}.gguf")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.gguf")
        writer = gguf.GGUFWriter(path, "llama")
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture" or key in change:
                continue
            kind = field.types[0]
            writer.add_key_value(key, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
        for key, (kind, value) in change.items():
            writer.add_key_value(key, value, TYPES[kind])
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = params.n_batch = params.n_ubatch = 256
        params.n_parallel = params.cpuparams.n_threads = 1
        params.n_gpu_layers = 0
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        answers = []
        request = dict(prompt=IDS[:-1], n_predict=1, n_probs=2000, temperature=0.0, cache_prompt=False, stream=False)
        xllamacpp.Server(params).handle_completions(request, lambda answer: answers.append(answer) and False)
        answer = json.loads(answers[0]) if isinstance(answers[0], (str, bytes)) else answers[0]
        top = (answer.get("completion_probabilities") or answer["choices"][0]["logprobs"]["content"])[0]["top_logprobs"]
    return next(entry["logprob"] for entry in top if entry["id"] == IDS[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path, help="tests/vectors")
    vectors = parser.parse_args().vectors
    lists = {}
    for kind, cases, refused, value in [
        ("folders", FOLDERS, REFUSED_FOLDERS, transformers_value),
        ("gguf", GGUF, REFUSED_GGUF, llama_cpp_value),
    ]:
        out = []
        for name, (base, change) in cases.items():
            found = round(value(vectors, base, change), 4)
            print(kind, name, found, flush=True)
            out.append(json.dumps(dict(name=name, base=base, change=change, value=found)))
        for name, (base, change, words) in refused.items():
            out.append(json.dumps(dict(name=name, base=base, change=change, words=words)))
        lists[kind] = ",\n".join(out)
    out = []
    for name, (base, change, prompt) in DECODED.items():
        found = decoded_values(vectors, base, change, prompt)
        out.append(json.dumps(dict(name=name, base=base, change=change, prompt=prompt, logprobs=found)))
    lists["decoded"] = ",\n".join(out)
    text = f'{{"token_ids": {json.dumps(IDS)},\n"folders": [\n{lists["folders"]}\n],\n"gguf": [\n{lists["gguf"]}\n],\n"decoded": [\n{lists["decoded"]}\n]}}\n'
    (vectors / "configurations.json").write_text(text)


if __name__ == "__main__":
    main()
    os._exit(0)  # llama.cpp's server threads
