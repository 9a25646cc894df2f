#!/usr/bin/env python3
"""What llama.cpp and transformers make of SmolLM2-135M: greedy text, perplexity, token ids, chat templates.

    LLAMA_CPP_LIB_PATH=llbuild/bin PYTHONPATH=llama_cpp_python-0.3.36 \
        python make_smollm2_vectors.py F16.gguf SHIPPED.gguf TEXT OUT

F16.gguf is the shipped Q4_1 file through `requantize_gguf.py --type F16`; TEXT = tests/vectors/smollm2_text.txt, our
own; OUT = tests/vectors/smollm2.json. llama.cpp runs on the CPU without flash attention, once with an f16 and once
with an f32 KV cache; it rounds activations to f16 before each product. transformers runs the same weights in f32
throughout and is the tighter reference; `transformers_f32_shipped` is the same on the shipped Q4_1/Q8_0 values, not
rounded to f16, for a test that has only the fetched file.
"""

import argparse
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import gguf
import jinja2.sandbox
import llama_cpp
import numpy as np
import torch
import transformers
from gguf import quants
from make_tiny_gguf import deinterleave, gguf_name, rows_of, shapes
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

STEPS = 48
CONTEXT = 2048

RAW_PROSE = (
    "The lighthouse keeper had three rules. The first was to light the lamp before the sun went down. "
    "The second was to write the weather in the book. The third rule was"
)
RAW_CODE = '''# Returns the mean of a list of numbers, or None when the list is empty.
def mean(values):
    if not values:
        return None
'''
CHATS = {
    "user": [{"role": "user", "content": "Name three things that float on water, and say why they float."}],
    "system": [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "What is a tide table?"},
    ],
    "turns": [
        {"role": "user", "content": "Hello! "},
        {"role": "assistant", "content": "Hi. What can I do for you?"},
        {"role": "user", "content": "Count to 3.\n\nThen stop.\n"},
    ],
}

STRINGS = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    "\t\tx",
    "Hello world",
    " Hello world ",
    "hello    four   three  two one",
    "trailing spaces   ",
    "   leading spaces",
    "1234567890",
    "In 2024, 3.14159 and 1,000,000 and 0x7FFF and 10^-5",
    "x1y22z333",
    "٣٤٥ ½ ² ⅷ ①",
    "don't DON'T won't've I'm we'll they'd it's 'quoted' ’tis",
    "line one\nline two\r\nline three\rline four",
    " \n \n  \n",
    "def f(x):\n    if x > 0:\n        return x ** 2\n\treturn None\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0.5f; } // loop",
    "https://example.org/path?q=1&r=%20#frag user@example.org",
    "<|im_start|>user\nHi<|im_end|>\n",
    "<|im_start|><|im_end|><|endoftext|>",
    "a<|im_end|>b <|im_end|> c",
    "<|im_start |> <|im_startx|> <|",
    "<repo_name>kscope<file_sep>src/main.rs<jupyter_code>",
    "grüße, naïve café, Ærøskøbing, ﬁne",
    "e\u0301 versus \u00e9, A\u030a versus \u00c5",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם. مرحبا بالعالم",
    "日本語のテキスト、漢字とかな。안녕하세요 세계 你好，世界",
    "🙂 🙃🙃 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 ☃️",
    "zero\u200bwidth\u200d joiner\ufeff bom\u00a0nbsp\u2003em\u3000ideographic",
    "control \x01\x02\x7f bytes and \ufffd replacement",
    "∑_{i=1}^{n} xᵢ² ≤ ∞ ∀x∈ℝ ⇒ ∂f/∂x",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!???...---___***",
    "word" * 12,
    "Dž ǅ ŉ İı ß ẞ ſ",
    "𝕳𝖊𝖑𝖑𝖔 𐍈 𠮷",
]


def build_tokenizer(reader):
    """The tokenizers library on the vocabulary in the file, with SmolLM2's own pre-tokenizer."""
    field = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents()
    tokens, kinds = field("tokens"), field("token_type")
    merges = [tuple(m.split(" ")) for m in field("merges")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer, special


def build_transformers(reader):
    field = lambda key: reader.fields[f"llama.{key}"].contents()
    heads = field("attention.head_count")
    shape = dict(
        hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=field("attention.head_count_kv"),
        head_dim=field("embedding_length") // heads,
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_theta=field("rope.freq_base"),
        max_position_embeddings=field("context_length"),
        tie_word_embeddings=True,
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].contents()),
    )
    config = shape | dict(model_type="llama")
    parsed = LlamaConfig(**shape, attn_implementation="eager")
    held = {t.name: t for t in reader.tensors}
    with torch.device("meta"):
        model = LlamaForCausalLM(parsed)
    state = {}
    for name, size in shapes(config, config["vocab_size"]).items():
        tensor = held.pop(gguf_name(name))
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(size)
        interleaved = rows_of(config, name)
        state[name] = torch.from_numpy(np.ascontiguousarray(deinterleave(values, interleaved) if interleaved else values))
    assert not held, sorted(held)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True, assign=True)
    rotary = type(model.model.rotary_emb)(parsed)  # its table is not in the state
    model.model.rotary_emb = rotary
    return model.eval()


def top2(row):
    order = np.argsort(row)[::-1][:2]
    return [[int(i), round(float(row[i]), 4)] for i in order]


def llama(path, kv):
    kind = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}[kv]
    return llama_cpp.Llama(
        str(path), n_ctx=CONTEXT, n_batch=CONTEXT, n_threads=1, n_threads_batch=1, logits_all=True,
        flash_attn=False, type_k=kind, type_v=kind, verbose=False,
    )  # fmt: skip


def decode_llama(model, ids):
    model.reset()
    model.eval(ids)
    tokens, tops = [], []
    for _ in range(STEPS):
        row = np.array(model.scores[model.n_tokens - 1])
        tops.append(top2(row))
        tokens.append(tops[-1][0][0])
        model.eval(tokens[-1:])
    return tokens, tops


@torch.no_grad()
def decode_transformers(model, ids):
    out = model(torch.tensor([ids]), use_cache=True)
    tokens, tops = [], []
    for _ in range(STEPS):
        tops.append(top2(out.logits[0, -1].numpy()))
        tokens.append(tops[-1][0][0])
        out = model(torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)
    return tokens, tops


def losses(rows, ids):
    """-ln p of each token after the first, in f64."""
    rows = rows[: len(ids) - 1].astype(np.float64)
    top = rows.max(-1)
    norm = top + np.log(np.exp(rows - top[:, None]).sum(-1))
    return norm - rows[np.arange(len(ids) - 1), ids[1:]]


def summary(nll):
    mean = float(nll.mean())
    return dict(
        nll_sum=round(float(nll.sum()), 4),
        nll_mean=round(mean, 6),
        perplexity=round(float(np.exp(mean)), 5),
        # sums over positions 1..64, 65..128, ...: where a difference starts
        nll_by_64=[round(float(nll[i : i + 64].sum()), 4) for i in range(0, len(nll), 64)],
    )


def ids_hash(ids):
    return hashlib.sha256(np.array(ids, dtype="<u4").tobytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("shipped", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reader = gguf.GGUFReader(args.model)
    tokenizer, special = build_tokenizer(reader)
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(reader.fields["tokenizer.chat_template"].contents())
    chats = [
        dict(name=name, messages=messages, text=template.render(messages=messages, add_generation_prompt=True))
        for name, messages in CHATS.items()
    ]
    text = args.text.read_text(encoding="utf-8")

    half, full = llama(args.model, "f16"), llama(args.model, "f32")
    ids = lambda string: half.tokenize(string.encode(), add_bos=False, special=True)
    agree = lambda string: tokenizer.encode(string, add_special_tokens=False).ids == ids(string)
    for chat in chats:
        chat["ids"] = ids(chat["text"])
        assert agree(chat["text"])
    strings = []
    for string in STRINGS:
        strings.append(dict(text=string, ids=ids(string)))
        if not agree(string):
            strings[-1]["tokenizers_ids"] = tokenizer.encode(string, add_special_tokens=False).ids
            print("token ids differ:", strings[-1])
        plain = half.tokenize(string.encode(), add_bos=False, special=False)
        if plain != strings[-1]["ids"]:
            strings[-1]["ids_without_special"] = plain

    exact, shipped = build_transformers(reader), build_transformers(gguf.GGUFReader(args.shipped))
    prompts = []
    for name, prompt in (("raw-prose", RAW_PROSE), ("raw-code", RAW_CODE), ("chat", chats[0]["text"])):
        entry = dict(name=name, prompt=prompt, ids=ids(prompt))
        for key, run in (
            ("llama_cpp_f16_kv", lambda i: decode_llama(half, i)),
            ("llama_cpp_f32_kv", lambda i: decode_llama(full, i)),
            ("transformers_f32", lambda i: decode_transformers(exact, i)),
            ("transformers_f32_shipped", lambda i: decode_transformers(shipped, i)),
        ):
            tokens, tops = run(entry["ids"])
            spoken = tokenizer.decode(tokens, skip_special_tokens=False)
            entry[key] = dict(tokens=tokens, text=spoken, top2=tops)
            print(name, key, repr(spoken), "smallest margin", round(min(a[1] - b[1] for a, b in tops), 4), flush=True)
        prompts.append(entry)

    text_ids = ids(text)
    assert agree(text) and len(text_ids) <= CONTEXT
    whole = dict(
        file=args.text.name, sha256=hashlib.sha256(text.encode()).hexdigest(), tokens=len(text_ids),
        token_ids_sha256=ids_hash(text_ids), first_ids=text_ids[:16], last_ids=text_ids[-16:],
    )  # fmt: skip
    for key, model in (("llama_cpp_f16_kv", half), ("llama_cpp_f32_kv", full)):
        model.reset()
        model.eval(text_ids)
        whole[key] = summary(losses(np.array(model.scores[: len(text_ids)]), text_ids))
    for key, model in (("transformers_f32", exact), ("transformers_f32_shipped", shipped)):
        with torch.no_grad():
            whole[key] = summary(losses(model(torch.tensor([text_ids])).logits[0].numpy(), text_ids))
    for key, value in whole.items():
        if isinstance(value, dict):
            print(key, {k: v for k, v in value.items() if k != "nll_by_64"})

    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    head = dict(
        model="SmolLM2-135M-Instruct", element_type="F16", f16_sha256=digest(args.model),
        shipped_sha256=digest(args.shipped), special_tokens=special,
        versions=dict(llama_cpp_python=llama_cpp.__version__, transformers=transformers.__version__,
                      torch=torch.__version__.split("+")[0], tokenizers=version("tokenizers"), gguf=version("gguf")),
    )  # fmt: skip
    dump = lambda value: json.dumps(value, ensure_ascii=False)
    lines = lambda items: "[\n" + ",\n".join(dump(i) for i in items) + "\n]"
    body = dump(head)[:-1] + f',\n"text": {dump(whole)},\n"prompts": {lines(prompts)},\n"chats": {lines(chats)},\n"strings": {lines(strings)}\n}}\n'
    part = args.out.with_name(args.out.name + ".part")
    part.write_text(body, encoding="utf-8")
    json.loads(part.read_text(encoding="utf-8"))
    os.replace(part, args.out)


if __name__ == "__main__":
    main()
