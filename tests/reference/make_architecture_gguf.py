#!/usr/bin/env python3
"""GGUF files of the tiny models of tests/vectors/tiny whose architecture has layers unlike Llama's.

    python make_architecture_gguf.py TINY OUT     # tests/vectors/tiny tests/vectors/architectures

Writes OUT/<case>.gguf: the same weights in f32 under llama.cpp's names, as its converter would write them (rows of
q and k interleaved where llama.cpp wants them so, norms of Gemma with the 1 added, LongRoPE's divisors as tensors).
So the prompt and the logits of OUT's case are those of TINY/<case>/vectors.safetensors.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from make_tiny_gguf import byte_letters, interleave
from safetensors.torch import load_file

CASES = [
    "olmo2", "granite", "smollm3", "phi3-partial", "phi3-longrope", "gemma2", "gemma3", "mixtral", "qwen3-moe",
]  # fmt: skip
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp",
}  # fmt: skip
NORMS = {
    "before": {"post_attention_layernorm": "ffn_norm"},
    "after": {
        "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    },
}  # fmt: skip
EXPERTS = {
    "w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps",
    "gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps",
}  # fmt: skip
ARCHITECTURES = {"gemma3_text": "gemma3", "mixtral": "llama", "qwen3_moe": "qwen3moe"}
PAIRED = ("granite", "smollm3", "mixtral")
AFTER = ("olmo2", "gemma2", "gemma3_text")


def name_of(config, name):
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, kind = name.rsplit(".", 1)
    if stem in top:
        return f"{top[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    names = NAMES | NORMS["after" if config["model_type"] in AFTER else "before"]
    return f"blk.{layer}.{names[rest]}.{kind}"


def together(weights):
    """The experts of a layer in one tensor each of gates, ups and downs, by their GGUF names; and what is left."""
    experts, others = {}, {}
    for name, value in weights.items():
        if ".experts." not in name:
            others[name] = value
            continue
        before, after = name.split(".experts.")
        expert, part, _ = after.split(".")
        tensor = f"blk.{before.split('.')[2]}.{EXPERTS[part]}.weight"
        experts.setdefault(tensor, {})[int(expert)] = value.float().numpy()
    return {name: np.stack([held[e] for e in range(len(held))]) for name, held in experts.items()}, others


def write_tokens(writer, config):
    """A vocabulary of as many tokens as the embedding has rows, which llama.cpp asks for: bytes, and one merge."""
    special = ["<unk>", "<s>", "</s>", "<|endoftext|>"]
    letters = sorted(byte_letters().values())[: config["vocab_size"] - 1 - len(special)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*special, *letters, letters[0] + letters[1]])
    writer.add_token_types([3] * len(special) + [1] * (config["vocab_size"] - len(special)))
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def write(path, case, config, weights):
    kind = config["model_type"]
    writer = gguf.GGUFWriter(path, ARCHITECTURES.get(kind, kind))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_name(f"kscope test {case}")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    rotated = int(head_dim * config.get("partial_rotary_factor", 1.0))
    if kind.startswith("gemma"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_sliding_window(config["sliding_window"])
    else:
        writer.add_rope_dimension_count(rotated)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if kind == "granite":
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
    scaling = config.get("rope_scaling") or {}
    if scaling.get("type") == "longrope":
        original = config["original_max_position_embeddings"]
        factor = config["max_position_embeddings"] / original
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(factor) / np.log(original))))
        for which in ("long", "short"):
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(scaling[f"{which}_factor"], dtype=np.float32))
    count = config.get("num_local_experts") or config.get("num_experts")
    if count:
        writer.add_expert_count(count)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if kind == "qwen3_moe":
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    write_tokens(writer, config)
    experts, weights = together(weights)
    for name, value in experts.items():
        writer.add_tensor(name, value)
    for name, value in weights.items():
        value = value.float().numpy()
        if kind.startswith("gemma") and "norm" in name:
            value = value + 1
        part = name.split(".")[-2]
        if kind in PAIRED and part in ("q_proj", "k_proj"):
            value = interleave(value, heads if part == "q_proj" else kv_heads)
        writer.add_tensor(name_of(config, name), np.ascontiguousarray(value, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiny", type=Path)
    parser.add_argument("out", type=Path, help="folder to write to")
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)
    groups = {case["name"]: case["weights"] for case in json.loads((args.tiny / "cases.json").read_text())["cases"]}
    for case in CASES:
        config = json.loads((args.tiny / case / "config.json").read_text())
        weights = {}
        for file in sorted((args.tiny / groups[case]).glob("*.safetensors")):
            weights |= load_file(file)
        path = args.out / f"{case}.gguf"
        write(path, case, config, weights)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
