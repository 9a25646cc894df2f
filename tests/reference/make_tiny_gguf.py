#!/usr/bin/env python3
"""Tiny GGUF files of every element type, and reference logits of the weights that they really hold.

    python make_tiny_gguf.py OUT          # OUT = tests/vectors/gguf

Writes OUT/<case>.gguf, OUT/cases.json and OUT/vectors.safetensors. The files are made by gguf-py the way
llama.cpp's converter does it: query and key rows of Llama models are interleaved, those of Qwen2 are not. The
reference reads each file back, dequantises with gguf-py, undoes the interleaving and runs transformers in f32; it
checks the reader, the dequantisation, the row order and the rope keys in one go. gguf-py cannot quantise to the K
types, so their blocks are random bytes with random small scales: every bit pattern occurs.
"""

import argparse
import json
import platform
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf import quants
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM

PROMPT = 120
DECODED = 8
POSITIONS = [0, 1, 40, 90, 119]
SEEDS = 200

TEXT = """
The lamp in the harbour office is lit before seven. Nadia counts the boats, and the boats count on Nadia.
In 2024 there were 120 boats; in 1999 there were 12, and the winter of 1987 left 7.
She writes the numbers down, one by one, in the grey book that lies beside the window.
"Don't trust the tide," her father said, "trust the table." The table is in the drawer under the lamp.

fn main() { let total = boats.iter().sum::<u32>(); println!("{}", total); }
    if total == 0 { return; }

When the wind turns to the north the harbour is quiet, and there is time to read what the others wrote.
"""

STRINGS = [
    "The lamp in the harbour is lit.",
    "  two  spaces   and three ",
    "In 2024: 120 + 12 = 132, 1999-1987.",
    "Don't, she'll, WE'RE it's",
    "line one\nline two\n\n\n  indented\ttab\r\n",
    "grüße, naïve café — “quoted” …",
    "日本語のテキスト and ελληνικά",
    "🙂👩‍👩‍👧 emoji",
    "fn main() { println!(\"{}\", total); }",
    "<|im_start|>user\nthe table<|im_end|>",
    "half <|im_start and </s> done",
    "",
    " ",
    "\n",
    "the",
    " the",
]

GPT2_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_merges(words, count):
    """Plain byte-pair encoding without a pre-tokenizer, ties to the smaller pair: the same list everywhere."""
    words, merges = [list(w) for w in words], []
    for _ in range(count):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def byte_letters():
    """GPT-2's printable stand-ins for the 256 bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {b: chr(b) for b in keep}, 256
    for byte in range(256):
        if byte not in table:
            table[byte], extra = chr(extra), extra + 1
    return table


class Bpe:
    """A byte-level vocabulary; `pre` is llama.cpp's name of the pre-tokenizer."""

    def __init__(self, pre):
        self.pre, letters = pre, byte_letters()
        encode = lambda text: "".join(letters[b] for b in text.encode())
        pieces = [encode(line + "\n") for line in TEXT.split("\n")]
        self.merges = train_merges(pieces, 48)
        self.merges += [(encode(a), encode(b)) for a, b in [("1", "2"), ("20", "2"), ("12", "0"), ("\n", "\n")]]
        self.merges[-3:-3] = [(encode("2"), encode("0"))]
        self.merges = list(dict.fromkeys(self.merges))
        self.tokens = [letters[b] for b in sorted(range(256), key=lambda b: letters[b])]
        self.tokens += list(dict.fromkeys(a + b for a, b in self.merges)) + SPECIAL
        self.bos, self.eos = self.tokens.index("<|endoftext|>"), self.tokens.index("<|im_end|>")

    def write(self, writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types([3 if t in SPECIAL else 1 for t in self.tokens])
        writer.add_token_merges([" ".join(pair) for pair in self.merges])
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_add_bos_token(False)
        writer.add_chat_template(CHAT)

    def ids(self, text):
        vocab = {t: i for i, t in enumerate(self.tokens)}
        tokenizer = Tokenizer(models.BPE(vocab, self.merges, ignore_merges=self.pre == "llama-bpe"))
        split = {
            "gpt-2": [GPT2_SPLIT],
            "smollm": [r"\p{N}", GPT2_SPLIT],
            "qwen2": [QWEN2_SPLIT],
            "llama-bpe": [LLAMA3_SPLIT],
        }[self.pre]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(s), "isolated") for s in split]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        return ids


class Spm:
    """A SentencePiece-style vocabulary: scores, byte tokens, a space put before the text, BOS added."""

    pre = "default"

    def __init__(self):
        words = ["▁" + w for line in TEXT.split("\n") for w in line.split(" ") if w]
        self.merges = train_merges(words, 60)
        letters = sorted({c for w in words for c in w})
        pieces = ["".join(pair) for pair in self.merges]
        self.tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
        self.tokens += list(dict.fromkeys(pieces)) + letters
        self.scores = [0.0] * 259 + [-float(i) for i in range(len(self.tokens) - 259)]
        self.types = [2, 3, 3] + [6] * 256 + [1] * (len(self.tokens) - 259)
        self.bos, self.eos = 1, 2

    def write(self, writer):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(self.tokens)
        writer.add_token_scores(self.scores)
        writer.add_token_types(self.types)
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(False)

    def ids(self, text):
        """As transformers converts such files: merges are all splits of a piece, in the order of its score."""
        vocab = {t: i for i, t in enumerate(self.tokens)}
        merges = [
            (piece[:i], piece[i:])
            for piece in self.tokens[259:]
            for i in range(1, len(piece))
            if piece[:i] in vocab and piece[i:] in vocab
        ]
        tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
        return [self.bos] + tokenizer.encode(text, add_special_tokens=False).ids


def llama(**more):
    return dict(
        model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=64, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
        rope_theta=10000.0, max_position_embeddings=256, tie_word_embeddings=True,
    ) | more  # fmt: skip


def qwen2(**more):
    return llama(model_type="qwen2", architectures=["Qwen2ForCausalLM"], rms_norm_eps=1e-6, rope_theta=1e6) | more


LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
K_SHAPE = dict(
    hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=1, head_dim=64
)

# case -> (config, element type of the matrices, tokenizer, embedding and output in another type or None)
CASES = {
    "llama-f32": (llama(num_hidden_layers=1), Type.F32, lambda: Bpe("gpt-2"), None),
    "llama-f16": (llama(num_hidden_layers=1), Type.F16, lambda: Bpe("smollm"), None),
    "llama-bf16": (llama(num_hidden_layers=1), Type.BF16, lambda: Bpe("smollm"), None),
    "llama-q4_0": (llama(), Type.Q4_0, lambda: Bpe("smollm"), None),
    "llama-q4_1": (llama(), Type.Q4_1, lambda: Bpe("smollm"), Type.Q8_0),  # as the SmolLM2 file is mixed
    "llama-q5_0": (llama(), Type.Q5_0, lambda: Bpe("smollm"), None),
    "llama-q5_1": (llama(), Type.Q5_1, lambda: Bpe("smollm"), None),
    "llama-q8_0": (llama(tie_word_embeddings=False), Type.Q8_0, lambda: Bpe("smollm"), None),
    "llama-q4_k": (llama(**K_SHAPE), Type.Q4_K, lambda: Bpe("smollm"), None),
    "llama-q5_k": (llama(**K_SHAPE), Type.Q5_K, lambda: Bpe("smollm"), None),
    "llama-q6_k": (llama(**K_SHAPE), Type.Q6_K, lambda: Bpe("smollm"), None),
    # three query heads to a KV head, wider than hidden; Llama 3 as llama.cpp stores it: a tensor of divisors
    "llama-rope-freqs": (
        llama(
            hidden_size=48, num_attention_heads=3, num_key_value_heads=1, head_dim=32, num_hidden_layers=1,
            rope_theta=500000.0, rope_scaling=LLAMA3,
        ),
        Type.F16, lambda: Bpe("llama-bpe"), None,
    ),
    "llama-linear": (
        llama(rope_scaling=dict(rope_type="linear", factor=4.0), num_hidden_layers=1),
        Type.F16, lambda: Bpe("smollm"), None,
    ),
    "llama-yarn": (llama(rope_scaling=YARN, head_dim=32, num_hidden_layers=1), Type.F16, lambda: Bpe("smollm"), None),
    "llama-spm": (llama(), Type.Q8_0, Spm, None),
    "qwen2-q8_0": (qwen2(), Type.Q8_0, lambda: Bpe("qwen2"), None),
    "qwen2-q4_0": (qwen2(tie_word_embeddings=False), Type.Q4_0, lambda: Bpe("qwen2"), Type.F16),
    # llama.cpp itself reads Qwen2 only where heads * head_dim is the hidden size
    "qwen2-yarn": (
        qwen2(rope_scaling=YARN, num_attention_heads=2, num_key_value_heads=1, head_dim=32, num_hidden_layers=1),
        Type.F16, lambda: Bpe("qwen2"), None,
    ),
}  # fmt: skip

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def gguf_name(name):
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}  # fmt: skip
    if name in top:
        return top[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def shapes(config, vocab):
    hidden, ff, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    out = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        out |= {at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,)}
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            out[f"{at}self_attn.{name}_proj.weight"] = (rows, hidden)
            if config["model_type"] == "qwen2":
                out[f"{at}self_attn.{name}_proj.bias"] = (rows,)
        out |= {at + "self_attn.o_proj.weight": (hidden, q), at + "mlp.gate_proj.weight": (ff, hidden)}
        out |= {at + "mlp.up_proj.weight": (ff, hidden), at + "mlp.down_proj.weight": (hidden, ff)}
    out["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = (vocab, hidden)
    return out


def rows_of(config, name):
    """Heads of a tensor whose rows llama.cpp interleaves, or None."""
    if config["model_type"] != "llama":
        return None
    return {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}.get(name.split(".")[-2])


def interleave(rows, heads):
    """Rotate-half row order to llama.cpp's: channel c and c + d/2 of a head become neighbours."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def deinterleave(rows, heads):
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def k_blocks(rng, shape, kind, std):
    """Random blocks of a K type whose weights have about this standard deviation and mean zero."""
    rows, columns = shape
    count = rows * columns // 256
    size = quants.GGML_QUANT_SIZES[kind][1]
    block = rng.integers(0, 256, (count, size), dtype=np.uint8)
    scale = lambda unit: (std * unit * rng.uniform(0.7, 1.3, (count, 1))).astype("<f2").view(np.uint8)
    if kind == Type.Q6_K:  # ql, qh, scales, d
        block[:, -2:] = scale(1 / 1369)
    else:  # d, dmin, scales, ...; dmin centres the levels
        unit, middle = {Type.Q4_K: (1 / 258, 7.5), Type.Q5_K: (1 / 532, 15.5)}[kind]
        block[:, 0:2] = scale(unit)
        block[:, 2:4] = scale(unit * middle)
    return block.reshape(rows, -1)


def rope_divisors(config):
    """As llama.cpp's converter computes `rope_freqs.weight`."""
    scaling, dim = config["rope_scaling"], config["head_dim"]
    trained, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    out = []
    for i in range(0, dim, 2):
        wave = 2 * np.pi * config["rope_theta"] ** (i / dim)
        smooth = (trained / wave - low) / (high - low)
        out.append(1.0 if wave < trained / high else factor if wave > trained / low
                   else 1 / ((1 - smooth) / factor + smooth))  # fmt: skip
    return np.array(out, dtype=np.float32)


def write(path, case, config, kind, tokenizer, ends, seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    arch = config["model_type"]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(f"kscope test {case}")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(len(tokenizer.tokens))
    if config["head_dim"] * config["num_attention_heads"] != config["hidden_size"]:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if arch == "llama":
        writer.add_rope_dimension_count(config["head_dim"])
    scaling = config.get("rope_scaling")
    if scaling and scaling["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_divisors(config))
    elif scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling["rope_type"]))
        writer.add_rope_scaling_factor(scaling["factor"])
        if scaling["rope_type"] == "yarn":
            writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    tokenizer.write(writer)
    for name, shape in shapes(config, len(tokenizer.tokens)).items():
        end = name in ("model.embed_tokens.weight", "lm_head.weight")
        std = 0.05 if name.startswith("model.embed") else (2.0 if end else 1.5) / np.sqrt(shape[-1])
        if len(shape) == 1:
            norm = "norm" in name
            values = (rng.standard_normal(shape) * (0.2 if norm else 0.5) + norm).astype(np.float32)
        elif kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
            values = k_blocks(rng, shape, kind, std)
        else:
            values = (rng.standard_normal(shape) * std).astype(np.float32)
            values = values if ends is None or not end else quants.quantize(values, ends)
            values = values if values.dtype != np.float32 else quants.quantize(values, kind)
        if heads := rows_of(config, name):
            values = interleave(values, heads)
        if len(shape) == 1 or values.dtype != np.uint8:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(values))
        else:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(values), raw_dtype=ends if end and ends else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    usable = [i for i, t in enumerate(tokenizer.tokens) if i not in (tokenizer.bos, tokenizer.eos)]
    return torch.from_numpy(rng.choice(usable, PROMPT))


def dequantised(path, config, vocab):
    """Hugging Face state of what the file holds."""
    held = {t.name: quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    state = {}
    for name, shape in shapes(config, vocab).items():
        values = held[gguf_name(name)].astype(np.float32).reshape(shape)
        assert np.isfinite(values).all()
        heads = rows_of(config, name)
        state[name] = torch.from_numpy(np.ascontiguousarray(deinterleave(values, heads) if heads else values))
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


@torch.no_grad()
def reference(path, config, vocab, prompt):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config | dict(vocab_size=vocab)))
        parsed = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(parsed, dtype=torch.float32, attn_implementation="eager").eval()
    model.load_state_dict(dequantised(path, config, vocab), strict=True)
    ids, greedy, rows = prompt, [], None
    for _ in range(DECODED + 1):
        rows = model(ids[None], use_cache=False).logits[0]
        greedy.append(int(rows[-1].argmax()))
        ids = torch.cat([ids, torch.tensor(greedy[-1:])])
    top = rows[PROMPT - 1 :].topk(2, dim=-1).values
    scale = float(rows.abs().max())
    return rows, greedy[:DECODED], dict(
        max_abs=float(f"{scale:.3g}"),
        smallest_margin=float(f"{float((top[:, 0] - top[:, 1]).min()) / scale:.3g}"),
        distinct=len(set(greedy)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to (re)create")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix=out.name + ".", dir=out.parent) as folder:
        make(Path(folder) / "new")
        if out.exists():
            shutil.rmtree(out)
        (Path(folder) / "new").rename(out)


def make(work):
    work.mkdir()
    cases, tensors = [], {}
    for case, (config, kind, make_tokenizer, ends) in CASES.items():
        tokenizer, path = make_tokenizer(), work / f"{case}.gguf"
        for seed in range(SEEDS):
            prompt = write(path, case, config, kind, tokenizer, ends, seed)
            rows, greedy, report = reference(path, config, len(tokenizer.tokens), prompt)
            if report["smallest_margin"] > 5e-3 and report["distinct"] >= 5:
                break
        else:
            raise SystemExit(f"{case}: no seed gives clear greedy choices")
        tensors |= {
            f"{case}.prompt": prompt.int(),
            f"{case}.logits": rows[POSITIONS].contiguous(),
            f"{case}.greedy": torch.tensor(greedy, dtype=torch.int32),
            f"{case}.decode_logits": rows[PROMPT:].contiguous(),
        }
        cases.append(
            dict(name=case, file=path.name, config=config | dict(vocab_size=len(tokenizer.tokens)), type=kind.name,
                 ends=(ends or kind).name, pre=tokenizer.pre, seed=seed, bos=tokenizer.bos, eos=tokenizer.eos)
            | report
            | dict(token_ids=[tokenizer.ids(text) for text in STRINGS])
        )  # fmt: skip
        print(path.name, path.stat().st_size, json.dumps(report), "seed", seed, flush=True)
    save_file(tensors, work / "vectors.safetensors", metadata=dict(transformers=transformers.__version__))
    (work / "vectors.safetensors").chmod(0o644)
    versions = dict(
        transformers=transformers.__version__, torch=torch.__version__.split("+")[0], numpy=np.__version__,
        gguf=gguf_version(), python=platform.python_version(),
    )  # fmt: skip
    head = dict(versions=versions, positions=POSITIONS, strings=STRINGS)
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    (work / "cases.json").write_text(json.dumps(head, ensure_ascii=False)[:-1] + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n")


def gguf_version():
    from importlib.metadata import version

    return version("gguf")


if __name__ == "__main__":
    main()
