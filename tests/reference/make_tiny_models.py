#!/usr/bin/env python3
"""Tiny random Hugging Face models and their reference logits.

    python make_tiny_models.py OUT                 # OUT = tests/vectors/tiny
    python make_tiny_models.py OUT --only GROUP... # makes these groups of cases anew, or adds them

Writes OUT/cases.json, OUT/weights/<weights>/ (safetensors), OUT/tokenizer/ (one for all) and
OUT/<case>/{config.json,vectors.safetensors}.
Cases that differ only in their config share one weights folder. The reference is transformers on the CPU in f32
with eager attention, loaded from the very config.json that is committed; 16-bit weights are widened to f32 first.

Everything is seeded: weights come from numpy's PCG64 and are byte for byte the same on every machine; logits may
differ in the last bits where torch's CPU kernels do.
"""

import argparse
import json
import platform
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import AutoConfig, AutoModelForCausalLM

PROMPT = 200
DECODED = 16
POSITIONS = [0, 1, 2, 31, 63, 64, 100, 150, 199]  # the last one is the prompt's last token
SEEDS = 400


def without(config, *keys):
    return {k: v for k, v in config.items() if k not in keys}


def sized(kind, model_type, sizes, eps, theta, **own):
    """A configuration of these sizes: residual stream, MLP, layers, query heads, KV heads and vocabulary."""
    hidden, mlp, layers, heads, kv_heads, vocab = sizes
    return dict(
        architectures=[f"{kind}ForCausalLM"],
        model_type=model_type,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        hidden_act="silu",
        hidden_size=hidden,
        intermediate_size=mlp,
        max_position_embeddings=512,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        num_key_value_heads=kv_heads,
        rms_norm_eps=eps,
        rope_theta=theta,
        torch_dtype="float32",
        vocab_size=vocab,
    ) | own  # fmt: skip


# What many configurations say without changing anything.
PLAIN = dict(attention_bias=False, rope_scaling=None, tie_word_embeddings=False)

LLAMA = without(
    sized("Llama", "llama", (48, 64, 2, 3, 3, 96), 1e-5, 10000.0, **PLAIN, use_cache=True), "attention_dropout"
)
# As Llama 3.1 and 3.2 write it; the trained context is made small, so that 200 tokens feel the scaling.
LLAMA3_SCALING = dict(
    factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64, rope_type="llama3"
)
MISTRAL = sized(
    "Mistral", "mistral", (64, 48, 3, 4, 1, 112), 1e-5, 1000000.0,
    head_dim=16, sliding_window=None, tie_word_embeddings=False, torch_dtype="bfloat16",
)  # fmt: skip
QWEN2 = sized(
    "Qwen2", "qwen2", (64, 48, 2, 2, 1, 104), 1e-6, 1000000.0,
    max_window_layers=2, sliding_window=512, tie_word_embeddings=False, use_sliding_window=False,
)  # fmt: skip
QWEN3 = sized(
    "Qwen3", "qwen3", (40, 56, 2, 4, 2, 120), 1e-6, 1000000.0, **PLAIN | dict(tie_word_embeddings=True),
    head_dim=32, max_window_layers=2, sliding_window=None, use_sliding_window=False,
)  # fmt: skip
OLMO2 = sized(
    "Olmo2", "olmo2", (48, 56, 2, 6, 3, 104), 1e-6, 500000.0, **PLAIN, bos_token_id=None, pad_token_id=1
)
GRANITE = sized(
    "Granite", "granite", (48, 64, 2, 6, 2, 112), 1e-5, 10000.0, **PLAIN, mlp_bias=False,
    attention_multiplier=0.1, embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22,
)  # fmt: skip
SMOLLM3 = sized(
    "SmolLM3", "smollm3", (48, 64, 4, 4, 2, 104), 1e-6, 2000000.0,
    attention_bias=False, mlp_bias=False, pad_token_id=2, use_sliding_window=False,
    layer_types=["full_attention"] * 4, no_rope_layer_interval=4, no_rope_layers=[1, 1, 1, 0],
)  # fmt: skip
PHI3 = sized(
    "Phi3", "phi3", (64, 48, 2, 4, 2, 104), 1e-5, 10000.0,
    embd_pdrop=0.0, pad_token_id=2, resid_pdrop=0.0, sliding_window=None, tie_word_embeddings=False,
)  # fmt: skip
# 12 of 16 channels of a head rotate, in Phi-4-mini's proportion; 200 tokens are beyond the context of pretraining.
PHI3_LONGROPE = dict(
    type="longrope",
    short_factor=[1.0, 1.02, 1.03, 1.05, 1.08, 1.1],
    long_factor=[1.0, 1.2, 1.5, 2.4, 3.0, 4.2],
)

# Windows shorter than the prompt of 200 tokens, so that tokens leave them; in every layer, and in some.
MISTRAL_WINDOW = MISTRAL | dict(sliding_window=72, torch_dtype="float32")
MINISTRAL = MISTRAL_WINDOW | dict(
    sliding_window=24,
    architectures=["MinistralForCausalLM"],
    model_type="ministral",
    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    pad_token_id=None,
)
QWEN2_WINDOW = QWEN2 | dict(
    max_window_layers=1, sliding_window=65, torch_dtype="float32", use_sliding_window=True, num_hidden_layers=3
)
GELU = "gelu_pytorch_tanh"
GEMMA2 = sized(
    "Gemma2", "gemma2", (48, 56, 4, 4, 2, 112), 1e-6, 10000.0,
    bos_token_id=2, eos_token_id=1, pad_token_id=0, attention_bias=False, cache_implementation="hybrid",
    hidden_act=GELU, hidden_activation=GELU, head_dim=16, query_pre_attn_scalar=16, sliding_window=20,
    attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
)  # fmt: skip
GEMMA3 = without(
    sized(
        "Gemma3", "gemma3_text", (32, 40, 6, 2, 1, 112), 1e-6, 1000000.0,
        bos_token_id=2, eos_token_id=1, pad_token_id=0, attention_bias=False, use_cache=True, rope_scaling=None,
        hidden_activation=GELU, head_dim=16, query_pre_attn_scalar=16, sliding_window=30, sliding_window_pattern=6,
        rope_local_base_freq=10000.0, attn_logit_softcapping=None, final_logit_softcapping=None,
    ),
    "hidden_act",
)  # fmt: skip
# The width of Mixtral's experts is `intermediate_size`; Qwen3-MoE has another key, and layers without experts.
MIXTRAL = sized(
    "Mixtral", "mixtral", (32, 32, 3, 4, 2, 104), 1e-5, 1000000.0,
    head_dim=16, num_experts_per_tok=2, num_local_experts=5, output_router_logits=False, sliding_window=None,
    router_aux_loss_coef=0.02, tie_word_embeddings=False, torch_dtype="bfloat16", use_cache=True,
)  # fmt: skip
QWEN3_MOE = sized(
    "Qwen3Moe", "qwen3_moe", (32, 56, 2, 4, 2, 104), 1e-6, 1000000.0, **PLAIN,
    decoder_sparse_step=1, head_dim=16, max_window_layers=2, mlp_only_layers=[], moe_intermediate_size=24,
    norm_topk_prob=True, num_experts=6, num_experts_per_tok=3, output_router_logits=False,
    router_aux_loss_coef=0.001, sliding_window=None, use_sliding_window=False, use_cache=True,
)  # fmt: skip


# Overrides that several cases share.
LLAMA3 = dict(
    head_dim=32,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
    eos_token_id=[2, 3, 4],
)
TRAINED_64 = dict(factor=4.0, original_max_position_embeddings=64)

# weights name -> (stored type, number of shards, {case: config})
GROUPS = {
    "llama": (
        "float32",
        1,
        {
            "llama": LLAMA,
            # transformers 5 spelling of the same thing, and of linear scaling.
            "llama-rope-parameters": without(LLAMA, "rope_scaling", "rope_theta", "torch_dtype")
            | dict(dtype="float32", rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
            # Llama 1 files know neither KV heads nor a rope theta (10000 is meant) nor a tie flag (false is meant).
            "llama-sparse-config": without(
                LLAMA,
                "num_key_value_heads",
                "rope_theta",
                "rope_scaling",
                "tie_word_embeddings",
                "attention_bias",
            ),
            "llama-linear": LLAMA | dict(rope_scaling=dict(type="linear", factor=4.0)),
            "llama-linear-rope-type": LLAMA | dict(rope_scaling=dict(rope_type="linear", factor=4.0)),
        },
    ),
    "llama3": (
        "float32",
        1,
        {
            "llama3": LLAMA | LLAMA3 | dict(rope_theta=500000.0, rope_scaling=LLAMA3_SCALING),
            "llama3-rope-parameters": without(LLAMA, "rope_scaling", "rope_theta")
            | LLAMA3
            | dict(rope_parameters=LLAMA3_SCALING | dict(rope_theta=500000.0)),
        },
    ),
    # group of 3, and heads * head_dim (96) is not the hidden size (48)
    "llama-gqa3": (
        "float16",
        1,
        {
            "llama-gqa3": LLAMA
            | dict(
                hidden_size=48,
                head_dim=16,
                num_attention_heads=6,
                num_key_value_heads=2,
                torch_dtype="float16",
                vocab_size=160,
            )
        },
    ),
    # the widest head the program promises
    "llama-hd256": (
        "bfloat16",
        1,
        {
            "llama-hd256": LLAMA
            | dict(
                hidden_size=32,
                head_dim=256,
                num_attention_heads=2,
                num_key_value_heads=1,
                num_hidden_layers=1,
                rope_theta=100000.0,
                tie_word_embeddings=True,
                torch_dtype="bfloat16",
            )
        },
    ),
    # a head and a group that are not powers of two
    "llama-hd80-gqa7": (
        "float16",
        1,
        {
            "llama-hd80-gqa7": LLAMA
            | dict(
                hidden_size=42,
                head_dim=80,
                num_attention_heads=7,
                num_key_value_heads=1,
                num_hidden_layers=1,
                tie_word_embeddings=True,
                torch_dtype="float16",
            )
        },
    ),
    "mistral": (
        "bfloat16",
        1,
        # both spellings of an absent head_dim (hidden / heads = 16) are in the wild
        {
            "mistral": MISTRAL,
            "mistral-null-head-dim": MISTRAL | dict(head_dim=None),
            "mistral-no-head-dim": without(MISTRAL, "head_dim"),
        },
    ),
    "qwen2": (
        "float32",
        1,
        {
            "qwen2": QWEN2,
            # Qwen2.5's own recipe: max_position_embeddings stays the trained length, usable context is 256 here.
            "qwen2-yarn-type": QWEN2
            | dict(max_position_embeddings=64, rope_scaling=dict(type="yarn", **TRAINED_64)),
            "qwen2-yarn-rope-type": QWEN2
            | dict(max_position_embeddings=256, rope_scaling=dict(rope_type="yarn", **TRAINED_64)),
            "qwen2-yarn-rope-parameters": without(QWEN2, "rope_theta", "torch_dtype")
            | dict(
                dtype="float32",
                max_position_embeddings=64,
                rope_parameters=dict(rope_type="yarn", rope_theta=1000000.0, **TRAINED_64),
            ),
            # the optional keys; a program may refuse them by name, but must not ignore them
            "qwen2-yarn-options": QWEN2
            | dict(
                max_position_embeddings=64,
                rope_scaling=dict(
                    rope_type="yarn", beta_fast=4.0, beta_slow=0.5, attention_factor=1.25, **TRAINED_64
                ),
            ),
        },
    ),
    "qwen3": ("float32", 2, {"qwen3": QWEN3}),
    "mistral-window": ("float32", 1, {"mistral-window": MISTRAL_WINDOW}),
    "ministral": ("float32", 1, {"ministral": MINISTRAL}),
    "qwen2-window": ("float32", 1, {"qwen2-window": QWEN2_WINDOW}),
    "gemma2": (
        "float32",
        1,
        {"gemma2": GEMMA2, "gemma2-scalar": GEMMA2 | dict(query_pre_attn_scalar=12, attn_logit_softcapping=None)},
    ),
    "gemma3": (
        "float32",
        1,
        {
            "gemma3": GEMMA3,
            "gemma3-rope-parameters": without(
                GEMMA3, "rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern"
            )
            | dict(
                layer_types=["sliding_attention"] * 5 + ["full_attention"],
                rope_parameters=dict(
                    full_attention=dict(rope_type="default", rope_theta=1000000.0),
                    sliding_attention=dict(rope_type="default", rope_theta=10000.0),
                ),
            ),
            "gemma3-linear": GEMMA3
            | dict(rope_scaling=dict(rope_type="linear", factor=8.0), sliding_window_pattern=2),
        },
    ),
    "olmo2": ("float32", 1, {"olmo2": OLMO2}),
    "granite": ("float32", 1, {"granite": GRANITE}),
    "smollm3": (
        "float32",
        1,
        {"smollm3": SMOLLM3, "smollm3-interval": without(SMOLLM3, "no_rope_layers", "layer_types")},
    ),
    "phi3": (
        "float32",
        1,
        {
            "phi3": PHI3,
            "phi3-partial": PHI3 | dict(partial_rotary_factor=0.75),
            "phi3-longrope": PHI3
            | dict(partial_rotary_factor=0.75, original_max_position_embeddings=128, rope_scaling=PHI3_LONGROPE),
            # Within the context of pretraining.
            "phi3-longrope-short": PHI3
            | dict(partial_rotary_factor=0.75, original_max_position_embeddings=256, rope_scaling=PHI3_LONGROPE),
        },
    ),
    "mixtral": ("bfloat16", 1, {"mixtral": MIXTRAL, "mixtral-window": MIXTRAL | dict(sliding_window=72)}),
    "mixtral-fused": ("bfloat16", 1, {"mixtral-fused": MIXTRAL | dict(num_hidden_layers=2)}),
    "qwen3-moe": ("float32", 2, {"qwen3-moe": QWEN3_MOE}),
    # Experts in layer 1 of 5 alone; their shares are not normalised.
    "qwen3-moe-mixed": (
        "bfloat16",
        1,
        {
            "qwen3-moe-mixed": without(QWEN3_MOE, "num_experts")
            | dict(
                num_local_experts=6, num_hidden_layers=5, decoder_sparse_step=2, mlp_only_layers=[3, 7],
                norm_topk_prob=False, torch_dtype="bfloat16",
            ),
        },
    ),
}  # fmt: skip
# Groups whose experts are saved in one tensor, as transformers 5 does with save_original_format=False.
FUSED = ("mixtral-fused", "qwen3-moe-mixed")


def tensors(config, seed):
    """Seeded weights under their Hugging Face names, large enough that logits spread and greedy choices are clear."""
    rng = np.random.Generator(np.random.PCG64(seed))
    hidden, ff, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", heads)
    head_dim = config.get("head_dim", hidden // heads)
    out = {}

    def normal(name, shape, std, mean=0.0):
        out[name] = (mean + std * rng.standard_normal(shape)).astype(np.float32)

    def linear(name, rows, columns, gain=1.5):
        normal(name, (rows, columns), gain / np.sqrt(columns))

    # Small as in real models, so that a wrong rms_norm_eps shows.
    normal("model.embed_tokens.weight", (vocab, hidden), 0.05)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        normal(at + "input_layernorm.weight", hidden, 0.2, 1.0)
        linear(at + "self_attn.q_proj.weight", heads * head_dim, hidden)
        linear(at + "self_attn.k_proj.weight", kv_heads * head_dim, hidden)
        linear(at + "self_attn.v_proj.weight", kv_heads * head_dim, hidden)
        linear(at + "self_attn.o_proj.weight", hidden, heads * head_dim)
        if config["model_type"] == "qwen2":
            for name, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                normal(f"{at}self_attn.{name}_proj.bias", rows * head_dim, 0.5)
        if config["model_type"] == "qwen3":
            normal(at + "self_attn.q_norm.weight", head_dim, 0.3, 1.2)
            normal(at + "self_attn.k_norm.weight", head_dim, 0.3, 1.2)
        normal(at + "post_attention_layernorm.weight", hidden, 0.2, 1.0)
        linear(at + "mlp.gate_proj.weight", ff, hidden)
        linear(at + "mlp.up_proj.weight", ff, hidden)
        linear(at + "mlp.down_proj.weight", hidden, ff)
    normal("model.norm.weight", hidden, 0.2, 1.0)
    if not config.get("tie_word_embeddings", False):
        linear("lm_head.weight", vocab, hidden, 2.0)
    prompt = rng.integers(3, vocab, PROMPT)
    return {name: torch.from_numpy(value) for name, value in out.items()}, torch.from_numpy(prompt)


KNOWN = ("llama", "mistral", "qwen2", "qwen3")


def tensors_of_any(config, seed):
    """The same for an architecture whose shapes are taken from transformers."""
    rng = np.random.Generator(np.random.PCG64(seed))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        parsed = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(parsed)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if parsed.tie_word_embeddings:
        del shapes["lm_head.weight"]
    out = {}
    for name, shape in shapes.items():
        std, mean = 1.5 / np.sqrt(shape[-1]), 0.0
        if name.startswith("model.embed_tokens"):
            std = 0.05
        elif name.endswith("mlp.gate.weight"):
            std = 3.0 / np.sqrt(shape[-1])
        elif name.startswith("lm_head"):
            std = 2.0 / np.sqrt(shape[-1])
        elif "norm" in name:
            std, mean = 0.2, 0.0 if config["model_type"].startswith("gemma") else 1.0
        out[name] = (mean + std * rng.standard_normal(shape)).astype(np.float32)
    prompt = rng.integers(3, config["vocab_size"], PROMPT)
    return {name: torch.from_numpy(value) for name, value in out.items()}, torch.from_numpy(prompt)


def apart(config, weights):
    """Experts of which transformers makes one tensor, one by one under the names that files on the hub have."""
    mixtral = config["model_type"] == "mixtral"
    names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    out = {}
    for name, value in weights.items():
        own = name.replace(".mlp.", ".block_sparse_moe.") if mixtral else name
        stem = own.rpartition(".")[0]
        for expert, part in enumerate(value) if ".experts." in name else ():
            if name.endswith("gate_up_proj"):
                for which, half in zip(names, part.chunk(2)):
                    out[f"{stem}.{expert}.{which}.weight"] = half.clone()
            else:
                out[f"{stem}.{expert}.{names[2]}.weight"] = part.clone()
        if ".experts." not in name:
            out[own] = value
    return out


def load(folder, dtype):
    """transformers, from the folder on disk as any user would."""
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",
        config=AutoConfig.from_pretrained(folder),
    ).eval()
    assert not any(p.is_meta for p in model.parameters())
    return model


@torch.no_grad()
def reference(folder, prompt):
    model = load(folder, torch.float32)
    rotary = model.model.rotary_emb
    # Where kinds of layers rotate by their own frequencies, those of layers that see everything.
    own = lambda name, kind: getattr(rotary, f"full_attention_{kind}", None) if hasattr(rotary, f"full_attention_{kind}") else getattr(rotary, name)
    rope = dict(
        attention_factor=float(own("attention_scaling", "attention_scaling")),
        slowest_inv_freq=float(own("original_inv_freq", "original_inv_freq")[-1]),
    )
    ids, steps = prompt[None], []
    # Decode with transformers' own cache, then check it against one pass over the whole.
    out = model(ids, use_cache=True)
    prefill, cache, greedy = out.logits[0], out.past_key_values, []
    row = prefill[-1]
    for _ in range(DECODED):
        greedy.append(int(row.argmax()))
        out = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
        row, cache = out.logits[0, -1], out.past_key_values
        steps.append(row)
    decode = torch.stack(steps)
    whole = torch.cat([prompt, torch.tensor(greedy)])[None]
    once = model(whole, use_cache=False).logits[0]
    scale = float(once.abs().max())
    model = load(folder, torch.float64)
    gaps, watched = [], [module for name, module in model.named_modules() if name.endswith("mlp.gate")]
    for router in watched:
        router.register_forward_hook(lambda module, _, out: gaps.append(gap(out[0][-DECODED - 1 :], module.top_k)))
    exact = model(whole, use_cache=False).logits[0]
    rows = torch.cat([prefill[-1:], decode])
    top = rows.topk(2, dim=-1).values
    report = dict(
        max_abs=scale,
        f32_against_f64=float((once.double() - exact).abs().max()) / scale,
        cached_against_whole=float((torch.cat([prefill, decode]) - once).abs().max()) / scale,
        smallest_margin=float((top[:, 0] - top[:, 1]).min()) / scale,
        distinct=len(set(greedy)),
        rope=rope,
    ) | (dict(smallest_gap=min(gaps)) if gaps else {})
    return prefill, decode, greedy, report


def gap(logits, chosen):
    """How far the last expert that a token goes through is from the first that it does not."""
    top = logits.topk(chosen + 1, dim=-1).values
    return float((top[:, -2] - top[:, -1]).min())


def good(report):
    # Experts are chosen clearly too, so that rounding does not choose others.
    return (
        report["smallest_margin"] > 5e-3
        and report["distinct"] >= 8
        and report["f32_against_f64"] < 1e-5
        and report.get("smallest_gap", 1.0) > 0.02
    )


def write_weights(folder, weights, dtype, shards):
    folder.mkdir(parents=True)
    stored = {name: value.to(getattr(torch, dtype)).contiguous() for name, value in weights.items()}
    if shards == 1:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        return {n: v.float() for n, v in stored.items()}
    names, where = list(stored), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        save_file({n: stored[n] for n in part}, folder / file, metadata={"format": "pt"})
        where |= {n: file for n in part}
    total = sum(v.numel() * v.element_size() for v in stored.values())
    index = dict(metadata=dict(total_size=total), weight_map=dict(sorted(where.items())))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def stage(weights, config, at):
    """A folder as it would come from the hub: one config, the weights beside it."""
    shutil.copytree(weights, at)
    (at / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to (re)create")
    parser.add_argument("--only", nargs="+", metavar="GROUP", choices=list(GROUPS), help="leave the others as they are")
    args = parser.parse_args()
    out = args.out
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix=out.name + ".", dir=out.parent) as folder:
        make(Path(folder) / "new", args.only or list(GROUPS), out if args.only else None)
        if out.exists():
            shutil.rmtree(out)
        (Path(folder) / "new").rename(out)


CHAT = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
STRINGS = ["Hello, the tide is 12.", " in  the\nthen", "<s>user: hi</s><s>assistant: ", ""]


def write_tokenizer(folder):
    """A byte-level tokenizer small enough for every vocabulary here (95 tokens), to lay beside a case."""
    folder.mkdir()
    letters = [chr(c) for c in range(33, 127) if chr(c) not in "`~^|{}@"] + ["Ġ", "Ċ"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    tokens = ["<unk>", "<s>", "</s>"] + letters + ["".join(pair) for pair in merges]
    tokenizer = Tokenizer(token_models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in tokens[:3]])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=False, chat_template=CHAT)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    assert len(tokens) <= 96
    ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    return [dict(text=text, ids=ids(text)) for text in STRINGS]


def make(work, groups, before):
    if before:
        shutil.copytree(before, work)
    else:
        work.mkdir()
    versions = dict(
        transformers=transformers.__version__,
        torch=torch.__version__.split("+")[0],
        numpy=np.__version__,
        python=platform.python_version(),
    )
    cases = []
    held = {case["name"]: case for case in json.loads((before / "cases.json").read_text())["cases"]} if before else {}
    for group, (dtype, shards, configs) in GROUPS.items():
        if group not in groups:
            cases += [held[case] for case in configs if case in held]
            continue
        for name in [*configs, f"weights/{group}"]:
            shutil.rmtree(work / name, ignore_errors=True)
        for seed in range(SEEDS):
            results, scratch = {}, Path(tempfile.mkdtemp())
            first = next(iter(configs.values()))
            make_weights = tensors if first["model_type"] in KNOWN else tensors_of_any
            weights, prompt = make_weights(first, seed)
            if group not in FUSED:
                weights = apart(first, weights)
            write_weights(scratch / "weights", weights, dtype, shards)
            for case, config in configs.items():
                stage(scratch / "weights", config, scratch / case)
                results[case] = reference(scratch / case, prompt)
                if not good(results[case][3]):
                    break
            if good(results[case][3]):
                break
            shutil.rmtree(scratch)
        else:
            raise SystemExit(f"{group}: no seed gives clear greedy choices")
        shutil.copytree(scratch / "weights", work / "weights" / group)
        for case, (prefill, decode, greedy, report) in results.items():
            (work / case).mkdir()
            shutil.copy(scratch / case / "config.json", work / case)
            save_file(
                dict(
                    prompt=prompt.int(),
                    positions=torch.tensor(POSITIONS, dtype=torch.int32),
                    logits=prefill[POSITIONS].contiguous(),
                    greedy=torch.tensor(greedy, dtype=torch.int32),
                    decode_logits=decode,
                ),
                work / case / "vectors.safetensors",
                # one key only: the crate behind save_file writes several in random order
                metadata=dict(transformers=versions["transformers"]),
            )
            cases.append(
                dict(name=case, weights=f"weights/{group}", stored=dtype, seed=seed)
                | {k: (float(f"{v:.3g}") if isinstance(v, float) else v) for k, v in report.items()}
            )
            print(json.dumps(cases[-1]), flush=True)
        shutil.rmtree(scratch)
    same("llama", "llama-rope-parameters", "llama-sparse-config", work=work)
    same("llama-linear", "llama-linear-rope-type", work=work)
    same("llama3", "llama3-rope-parameters", work=work)
    same("smollm3", "smollm3-interval", work=work)
    same("gemma3", "gemma3-rope-parameters", work=work)
    same("qwen2-yarn-type", "qwen2-yarn-rope-type", "qwen2-yarn-rope-parameters", work=work)
    shutil.rmtree(work / "tokenizer", ignore_errors=True)
    head = dict(versions=versions, tokenizer=write_tokenizer(work / "tokenizer"))
    lines = ",\n".join(json.dumps(case) for case in cases)
    (work / "cases.json").write_text(json.dumps(head)[:-1] + f',\n"cases": [\n{lines}\n]}}\n')


def same(*names, work):
    """Spellings of one thing have one result."""
    first, *others = [(work / name / "vectors.safetensors").read_bytes() for name in names]
    assert all(first == other for other in others), f"{names} differ"


if __name__ == "__main__":
    main()
