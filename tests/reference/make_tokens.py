#!/usr/bin/env python3
"""Special tokens, as transformers and llama.cpp take them from the files that may name them.

    python make_tokens.py VECTORS         # VECTORS = tests/vectors

Writes VECTORS/text/tokens.json. `places`: which file's flags of a token win: every place where a
token may be written, with every kind of flags, in every class; `ids` holds the distinct lists of ids
that transformers gives FLAGGED, and `rows` which of them, for every place in order, by class and
flags. `folders`: changes to the files of VECTORS/tiny/tokenizer, with the
ids that transformers gives for three texts, the second decoded again, and the special tokens that it
knows by name. `ggufs`: changes to
the metadata of files in VECTORS/gguf, with the ids that llama.cpp (xllamacpp) gives for a text and
for a chat of one message (their number). `words`: tokens and merges to put into a file, texts, and
the ids that llama.cpp gives them for every pre-tokenizer (the empty name: where none is named).
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

TEXT = "<|im_start|>a<|im_end|> <|x|>b</s>"
WORDY = "the lamp in the 12"
# Digits after each other, a capital within a word and tokens between words show which step cuts a text, and where a space is put.
MIXED = "the 12</s>the lamp<s> in xL"
CHAT = "the lamp"
# Spaces on both sides of each token, on one, and on none.
FLAGGED = "a </s> b</s>c  <|x|>  d<|x|>e <unk> f<unk>g"


def token(content, **flags):
    base = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": content, **base, **flags}


def post(single):
    pieces = [{"Sequence": {"id": "A", "type_id": 0}} if p == "A" else {"SpecialToken": {"id": p, "type_id": 0}} for p in single]
    pair = pieces + [{"Sequence": {"id": "B", "type_id": 1}}]
    ids = {"<s>": 1, "</s>": 2}
    known = {p: {"id": p, "ids": [ids[p]], "tokens": [p]} for p in single if p in ids}
    return {"type": "TemplateProcessing", "single": pieces, "pair": pair, "special_tokens": known}


CONFIG = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
NAMED = {**CONFIG, "unk_token": "<unk>", "pad_token": "</s>"}
MARKS = ["<|im_start|>", "<|im_end|>"]
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def level(space, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}


def steps(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


# A SentencePiece tokenizer has this mark in its vocabulary in place of the byte-level space.
SPACE = "\u2581"
TO_SPACE = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
STEPS = {
    "bytes": {"pre_tokenizer": level(False)},
    "bytes after a space": {"pre_tokenizer": level(True)},
    "digits": {"pre_tokenizer": steps({"type": "Digits", "individual_digits": True}, level(False))},
    "words": {"normalizer": {"type": "NFC"}, "pre_tokenizer": steps({"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}, level(False, False))},
    "marks": {"space": SPACE, "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}, "decoder": {"type": "Sequence", "decoders": TO_SPACE}},
    "mark before": {
        "space": SPACE,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": TO_SPACE},
    },
}
FOLDERS = [
    ("no other file", {}, {}),
    ("nothing added", {"tokenizer_config.json": CONFIG}, {}),
    *[
        (f"add_bos_token {flag}, post-processor {single}",
         {"tokenizer_config.json": {**CONFIG, **({} if flag is None else {"add_bos_token": flag})}},
         {"post_processor": single and post(single)})
        for flag in (None, True, False)
        for single in (None, ["<s>", "A"], ["<s>", "A", "</s>"])
    ],
    ("add_eos_token", {"tokenizer_config.json": {**CONFIG, "add_eos_token": True}}, {}),
    ("additional_special_tokens", {"tokenizer_config.json": {**CONFIG, "additional_special_tokens": MARKS}}, {}),
    ("extra_special_tokens as a list", {"tokenizer_config.json": {**CONFIG, "extra_special_tokens": MARKS}}, {}),
    ("extra_special_tokens by name", {"tokenizer_config.json": {**CONFIG, "extra_special_tokens": {"image_token": MARKS[0], "video_token": MARKS[1]}}}, {}),
    ("a token of the model's own", {"tokenizer_config.json": {**CONFIG, "image_token": MARKS[0]}}, {}),
    ("added_tokens_decoder", {"tokenizer_config.json": {**CONFIG, "added_tokens_decoder": {"96": token(MARKS[1], special=False), "95": token(MARKS[0])}}}, {}),
    ("added_tokens_decoder with wrong ids", {"tokenizer_config.json": {**CONFIG, "added_tokens_decoder": {"290": token(MARKS[1]), "299": token(MARKS[0])}}}, {}),
    ("added_tokens_decoder hides the older files",
     {"tokenizer_config.json": {**CONFIG, "added_tokens_decoder": {"95": token(MARKS[0])}},
      "special_tokens_map.json": {"additional_special_tokens": [MARKS[1]], "pad_token": "<|x|>"},
      "added_tokens.json": {"<|x|>": 96}}, {}),
    ("added_tokens.json", {"tokenizer_config.json": CONFIG, "added_tokens.json": {MARKS[1]: 96, MARKS[0]: 95}}, {}),
    ("added_tokens.json alone", {"added_tokens.json": {MARKS[1]: 96, MARKS[0]: 95}}, {}),
    ("special_tokens_map.json",
     {"special_tokens_map.json": {"bos_token": token("<s>"), "eos_token": MARKS[1], "additional_special_tokens": [MARKS[0]], "pad_token": "<|x|>"}}, {}),
    ("special_tokens_map.json over tokenizer_config.json",
     {"tokenizer_config.json": CONFIG, "special_tokens_map.json": {"eos_token": MARKS[1], "unk_token": {"content": MARKS[0]}}}, {}),
    ("a new token that takes the space before it", {"tokenizer_config.json": CONFIG, "special_tokens_map.json": {"mask_token": token("<|x|>", lstrip=True)}}, {}),
    ("a new token that takes the space after it", {"tokenizer_config.json": {**CONFIG, "pad_token": {"__type": "AddedToken", **token(MARKS[1], rstrip=True)}}}, {}),
    ("a nameless token that takes the space before it", {"tokenizer_config.json": {**CONFIG, "additional_special_tokens": [{"__type": "AddedToken", **token("<|x|>", lstrip=True)}]}}, {}),
    ("model_specific_special_tokens", {"tokenizer_config.json": {**CONFIG, "model_specific_special_tokens": {"image_token": MARKS[0], "video_token": "<|x|>"}}}, {}),
    ("split_special_tokens", {"tokenizer_config.json": {**CONFIG, "additional_special_tokens": MARKS, "split_special_tokens": True}}, {}),
    ("added_tokens.json with the id of another token", {"tokenizer_config.json": CONFIG, "added_tokens.json": {MARKS[0]: 4, "<|x|>": 95}}, {}),
    ("a new pad token", {"tokenizer_config.json": {**CONFIG, "pad_token": "<|x|>"}}, {}),
    ("null tokens", {"tokenizer_config.json": {**CONFIG, "eos_token": None, "pad_token": None, "unk_token": None}}, {}),
    ("tokens as objects", {"tokenizer_config.json": {**CONFIG, "bos_token": {"__type": "AddedToken", **token("<s>")}, "eos_token": {"__type": "AddedToken", **token("</s>")}}}, {}),
    ("added tokens in tokenizer.json", {"tokenizer_config.json": CONFIG}, {"added_tokens": MARKS}),
    *[
        (f"{name}, add_prefix_space {flag}, {kind}, {model}",
         {"tokenizer_config.json": {**NAMED, "tokenizer_class": name, **({} if flag is None else {"add_prefix_space": flag})}},
         {**STEPS[kind], "model_type": model})
        for name, kind, model in [
            ("GPT2Tokenizer", "bytes", "llama"), ("GPT2TokenizerFast", "bytes after a space", "llama"), ("GPT2Tokenizer", "digits", "llama"),
            ("GPT2Tokenizer", "bytes", "mistral"), ("GPT2Tokenizer", "words", "qwen2"), ("Qwen2Tokenizer", "words", "llama"),
            ("Qwen2Tokenizer", "words", "qwen3"), ("LlamaTokenizer", "marks", "llama"), ("LlamaTokenizer", "mark before", "llama"),
            ("LlamaTokenizer", "bytes", "llama"), ("PreTrainedTokenizerFast", "bytes", "llama"),
        ]
        for flag in (None, True, False)
    ],
    # A class that is built anew reads no step of tokenizer.json. The digits are one token for it, and two for the step that it leaves out.
    *[
        (f"{name}, {kind} and a token of two digits, {model}, legacy {legacy}",
         {"tokenizer_config.json": {**NAMED, "tokenizer_class": name, **({} if legacy is None else {"legacy": legacy})}},
         {**STEPS[kind], "model_type": model, "merge": ["1", "2"]})
        for name, kind, model, legacy in [
            ("GPT2Tokenizer", "digits", "llama", None), ("GPT2Tokenizer", "digits", "mistral", None), ("GPT2Tokenizer", "digits", "qwen3", None),
            ("GPT2Tokenizer", "words", "llama", None), ("GPTNeoXTokenizerFast", "digits", "llama", None), ("Qwen2Tokenizer", "digits", "llama", None),
            ("PreTrainedTokenizerFast", "digits", "qwen2", None), ("PreTrainedTokenizerFast", "digits", "qwen3", None), ("LlamaTokenizer", "digits", "qwen2", None),
            ("LlamaTokenizer", "digits", "llama", None), ("LlamaTokenizer", "marks", "llama", None), ("LlamaTokenizer", "mark before", "llama", None),
            ("LlamaTokenizer", "mark before", "llama", True), ("LlamaTokenizer", "mark before", "llama", False), ("LlamaTokenizer", "mark before", "qwen3", None),
            ("LlamaTokenizer", "mark before", "mistral", None), ("PreTrainedTokenizerFast", "mark before", "llama", None),
        ]
    ],
    # What a class calls its tokens where no file does; they are added where the vocabulary has none.
    *[
        (f"tokens of {name or 'no class'}, {model}, {'in config.json' if of_model else 'in tokenizer_config.json'}, files {given}",
         {"tokenizer_config.json": {**({"tokenizer_class": name} if name and not of_model else {}), **given}},
         {**STEPS[kind], "model_type": model, **({"model_class": name} if of_model else {})})
        for name, model, kind in [
            ("GPT2Tokenizer", "llama", "bytes"), ("GPTNeoXTokenizer", "llama", "bytes"), ("Qwen2Tokenizer", "llama", "words"), ("LlamaTokenizer", "llama", "marks"),
            ("LlamaTokenizer", "llama", "bytes"), ("LlamaTokenizer", "mistral", "marks"), ("PreTrainedTokenizerFast", "llama", "bytes"), ("PreTrainedTokenizerFast", "qwen2", "words"),
            ("", "llama", "bytes"), ("", "mistral", "bytes"), ("", "qwen2", "words"), ("", "qwen3", "words"),
        ]
        for of_model in ((False, True) if name == "GPT2Tokenizer" else (False,))
        for given in ({}, {"eos_token": None, "unk_token": "<|x|>"})
    ],
    # Only the text "ByteLevel" counts, wherever it stands.
    ("LlamaTokenizer, a byte-level post-processor", {"tokenizer_config.json": {**NAMED, "tokenizer_class": "LlamaTokenizer"}}, {**STEPS["mark before"], "pre_tokenizer": {"type": "Digits", "individual_digits": True}, "post_processor": level(False)}),
    *[
        (f"{name}, post-processor {single}", {"tokenizer_config.json": {**NAMED, "tokenizer_class": name, "add_bos_token": True}}, {"post_processor": post(single)})
        for name in ("GPTNeoXTokenizerFast", "GPT2Tokenizer")
        for single in (["<s>", "A"], ["A", "</s>"])
    ],
    *[
        (f"padding, {name}, {named}", {"tokenizer_config.json": {**CONFIG, "tokenizer_class": name, **named}}, {"padding": "<|x|>"})
        for name in ("PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer")
        for named in ({}, {"pad_token": "</s>"}, {"pad_token": None})
    ],
    *[
        (f"fix_mistral_regex {flag}, {model}, version {version}, {fill} tokens, {kind}",
         {"tokenizer_config.json": {**CONFIG, **({} if flag is None else {"fix_mistral_regex": flag})}},
         {**STEPS[kind], "model_type": model, "fill": fill, "merge": ["x", "L"], **({} if version is None else {"version": version})})
        for flag, model, version, fill, kind in [
            (True, "mistral", None, 100_001, "digits"), (True, "mistral", "4.57.1", 100_001, "bytes"), (True, "mistral", "5.0.0", 100_001, "bytes"), (True, "llama", None, 100_001, "bytes"),
            (False, "mistral", None, 100_001, "bytes"), (None, "mistral", None, 100_001, "bytes"), (True, "mistral", None, 99_999, "bytes"), (True, "mistral", None, 100_001, "marks"), (True, "mistral", None, 100_001, "mark before"),
        ]
    ],
    *[
        (f"{name} with null as add_prefix_space", {"tokenizer_config.json": {**NAMED, "tokenizer_class": name, "add_prefix_space": None}}, {**STEPS["words"], "model_type": "qwen2"})
        for name in ("Qwen2Tokenizer", "Qwen2TokenizerFast")
    ],
]

# A vocabulary whose merges reach over most places at which some pre-tokenizer cuts: what takes the
# place of the first tokens that are more than one byte.
MERGES = ["Ġ .", ". .", "Ġ 1", "1 2", "12 3", "123 4", "' s", "' S", "a '", "Ġ $", "$ 1", "Ġ Ġ", "Ċ Ċ", "Ġ Ċ", "a .", "= 1", "Ġ a", "Ġa b", "| |", "Ġ '", ") )", "Ġ <", "< a", "b 1", "Ċ a"]
WORDS = [
    "a .. b's a'S it'Sx 'sa", "12 123 1234 12341 a12 b1234.5 1 2", " $12 $ 12 x=1 =1", "  a   ab\n\n a\n \na \n\n\na", "<a> <ab <a|| ||", "a)) )) ~|^ a. a.a ..a", "e\u0301 a\u0301b", "\t a\u00a0ab \u00b2\u00bd\u0661 \u2014a\u3002\u4e00",
]

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
PRES = "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe qwen2 deepseek-r1-qwen stablelm2 megrez smollm codeshell refact command-r exaone minerva-7b starcoder gpt-2 olmo phi-2 jina-es mpt".split()
GGUFS = [
    *[("llama-rope-freqs.gguf", {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": pre}) for pre in PRES],
    ("llama-rope-freqs.gguf", {"tokenizer.ggml.add_bos_token": False}),
    ("llama-rope-freqs.gguf", {"tokenizer.ggml.add_bos_token": True}),
    ("llama-rope-freqs.gguf", {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.add_eos_token": True}),
    ("llama-rope-freqs.gguf", {"tokenizer.ggml.add_bos_token": None, "tokenizer.chat_template": "{{ bos_token }}" + TEMPLATE}),
    ("qwen2-q8_0.gguf", {"tokenizer.ggml.add_bos_token": None}),
    ("qwen2-q8_0.gguf", {"tokenizer.ggml.add_bos_token": True}),
    ("llama-spm.gguf", {"tokenizer.ggml.add_bos_token": None}),
    ("llama-spm.gguf", {"tokenizer.ggml.add_bos_token": False}),
    ("llama-spm.gguf", {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.add_eos_token": True}),
    ("llama-spm.gguf", {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.bos_token_id": None, "tokenizer.ggml.eos_token_id": None, "tokenizer.ggml.unknown_token_id": None}),
]

# Kinds of flags; the class and the model that a folder says, with steps that fit it.
FLAGS = {"none": {}, "strip": {"lstrip": True, "rstrip": True}, "word": {"single_word": True, "normalized": True}, "plain": {"special": False, "rstrip": True}}
CLASSES = [
    ("Qwen2Tokenizer", "qwen2", "words"), ("", "qwen3", "words"), ("PreTrainedTokenizerFast", "llama", "bytes"), ("GPT2Tokenizer", "llama", "bytes"),
    ("GPTNeoXTokenizerFast", "llama", "bytes"), ("LlamaTokenizer", "llama", "marks"), ("LlamaTokenizerFast", "mistral", "mark before"), ("LlamaTokenizer", "llama", "bytes"),
]


def places(flags):
    """Files and added tokens of tokenizer.json by place, for tokens with these flags."""
    own = {"__type": "AddedToken"}
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    end, new, unknown = (token(text, **flags) for text in ("</s>", "<|x|>", "<unk>"))
    plain = {"id": 95, **token("<|x|>")}
    listed = {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>")}
    config, special, added = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
    with_end = {key: name for key, name in names.items() if key != "eos_token"}
    stored = {"id": 95, **new}

    def place(files=None, tokens=(), **more):
        return {config: {**names, **more}, **(files or {})}, list(tokens)

    return {
        "tokenizer.json": ({config: with_end}, [{"id": 2, **end}]),
        "named": place(eos_token={**own, **end}),
        "tokenizer.json and a name": place(tokens=[{"id": 2, **end}]),
        "tokenizer.json and an object without flags": place(tokens=[{"id": 2, **end}], eos_token={**own, **token("</s>")}),
        "tokenizer.json without flags and an object": place(tokens=[{"id": 2, **token("</s>")}], eos_token={**own, **end}),
        "the unknown token": place(tokens=[{"id": 0, **unknown}]),
        "special_tokens_map.json": ({config: with_end, special: {"eos_token": end}}, []),
        "new in tokenizer.json": place(tokens=[stored]),
        "additional": place(additional_special_tokens=[{**own, **new}]),
        "additional, by text": place(tokens=[stored], additional_special_tokens=["<|x|>"]),
        "additional, an object without flags": place(tokens=[stored], additional_special_tokens=[{**own, **token("<|x|>")}]),
        "additional, tokenizer.json without flags": place(tokens=[plain], additional_special_tokens=[{**own, **new}]),
        "additional of both files": place({special: {"additional_special_tokens": ["b"]}}, additional_special_tokens=[{**own, **new}]),
        "extra list": place(tokens=[stored], extra_special_tokens=["<|x|>"]),
        "extra list of both files": place({special: {"extra_special_tokens": [{key: value for key, value in new.items() if key != "special"}]}}, extra_special_tokens=["b"]),
        "extra by name": place(tokens=[stored], extra_special_tokens={"image_token": "<|x|>"}),
        "extra by name, an object": place(extra_special_tokens={"image_token": {**own, **new}}),
        "a name of the model's own": place(image_token={**own, **new}),
        "mask_token": place(mask_token={**own, **new}),
        "a list with it": place(added_tokens_decoder={**listed, "95": new}),
        "a list and a name": place(tokens=[plain], added_tokens_decoder={**listed, "95": new}, additional_special_tokens=["<|x|>"]),
        "a list with another end": place(added_tokens_decoder={**listed, "2": end}),
        "a list without it": place(tokens=[stored], added_tokens_decoder=listed),
        "an empty list": place(tokens=[stored], added_tokens_decoder={}),
        "added_tokens.json": place({added: {"<|x|>": 95}}),
        "added_tokens.json and tokenizer.json": place({added: {"<|x|>": 95}}, tokens=[stored]),
        "added_tokens.json, another id": place({added: {"<|x|>": 97}}, tokens=[stored]),
        "added_tokens.json and an object": place({added: {"<|x|>": 95}}, mask_token={**own, **new}),
    }


def flags_of(base):
    """Which ids transformers gives a text, by class, place and flags."""
    lists, rows = [], []
    for name, model, kind in CLASSES:
        for flags, given in FLAGS.items():
            row = []
            for files, tokens in places(given).values():
                named = {**files["tokenizer_config.json"], **({"tokenizer_class": name} if name else {})}
                changes = {**STEPS[kind], "model_type": model, "tokens": tokens}
                ids = folder(base, {**files, "tokenizer_config.json": named}, changes, flagged=True)
                if ids not in lists:
                    lists.append(ids)
                row.append(lists.index(ids))
            rows.append([name, model, kind, flags, row])
    return lists, rows


def folder(base, files, changes, flagged=False):
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as out:
        out = Path(out)
        tokenizer = json.loads((base / "tokenizer.json").read_text())
        change(tokenizer, changes)
        (out / "tokenizer.json").write_text(json.dumps(tokenizer))
        of_model = {"tokenizer_class": changes["model_class"]} if "model_class" in changes else {}
        of_model.update({"transformers_version": changes["version"]} if "version" in changes else {})
        (out / "config.json").write_text(json.dumps({"model_type": changes.get("model_type", "llama"), **of_model}))
        for name, content in files.items():
            (out / name).write_text(json.dumps(content))
        found = AutoTokenizer.from_pretrained(out)
        if flagged:
            return found(FLAGGED).input_ids
        wordy = found(WORDY).input_ids
        return found(TEXT).input_ids, found.special_tokens_map, wordy, found.decode(wordy, skip_special_tokens=True), found(MIXED).input_ids


def change(tokenizer, changes):
    for step in ("post_processor", "normalizer", "pre_tokenizer", "decoder"):
        if step in changes:
            tokenizer[step] = changes[step]
    if "space" in changes:
        model = tokenizer["model"]
        model["vocab"] = {token.replace("\u0120", changes["space"]): number for token, number in model["vocab"].items()}
        model["merges"] = [[part.replace("\u0120", changes["space"]) for part in merge] for merge in model["merges"]]
    if "merge" in changes:
        model = tokenizer["model"]
        model["vocab"]["".join(changes["merge"])] = len(model["vocab"])
        model["merges"].append(changes["merge"])
    for number in range(len(tokenizer["model"]["vocab"]), changes.get("fill", 0)):
        tokenizer["model"]["vocab"][f"unused{number}"] = number
    if "padding" in changes:
        tokenizer["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": changes["padding"]}
    for added in changes.get("tokens", []):
        tokenizer["added_tokens"] = [old for old in tokenizer["added_tokens"] if old["content"] != added["content"]] + [added]
    tokenizer["added_tokens"].sort(key=lambda added: added["id"])
    for text in changes.get("added_tokens", []):
        tokenizer["added_tokens"].append({"id": 95 + changes["added_tokens"].index(text), **token(text)})


def words(source):
    """Changes that put MERGES into a file, and the ids that llama.cpp gives WORDS for every
    pre-tokenizer."""
    from gguf import GGUFReader

    fields = GGUFReader(source).fields
    tokens, old = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "merges"))
    made = [merge.replace(" ", "") for merge in old]
    places = [at for at, token in enumerate(tokens) if token in made]
    for at, merge in itertools.zip_longest(places, MERGES):
        tokens[at] = merge.replace(" ", "") if merge else f"unused{at}"
    changes = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": MERGES, "tokenizer.ggml.add_bos_token": False}
    kinds = {}
    for pre in ["", "default", *PRES]:
        with tempfile.TemporaryDirectory() as out:
            rewrite(source, f"{out}/model.gguf", {**changes, "tokenizer.ggml.pre": pre or None})
            run = subprocess.run([sys.executable, __file__, "--llama-cpp", f"{out}/model.gguf", *WORDS], capture_output=True, text=True)
            found = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
            kinds.setdefault(found[0].removeprefix("RESULT "), []).append(pre)
    ids = [{"pre": names, "ids": json.loads(found)} for found, names in kinds.items()]
    return {"tokens": {at: tokens[at] for at in places}, "merges": MERGES, "texts": WORDS, "ids": ids}


def rewrite(source, target, changes):
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    fields = {k: (f.contents(), f.types) for k, f in reader.fields.items() if not k.startswith("GGUF")}
    writer = GGUFWriter(target, fields.pop("general.architecture")[0])
    for key, value in changes.items():
        fields.pop(key, None)
        if value is not None:
            kinds = {bool: [GGUFValueType.BOOL], str: [GGUFValueType.STRING], list: [GGUFValueType.ARRAY, GGUFValueType.STRING]}
            fields[key] = (value, kinds[type(value)])
    for key, (value, types) in fields.items():
        if types[0] == GGUFValueType.ARRAY:
            writer.add_key_value(key, value, types[0], sub_type=types[1])
        else:
            writer.add_key_value(key, value, types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp(path, texts):
    """In a process of its own: ids of the texts, or of the text and how many a chat has."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel, params.warmup = 256, 1, False
    server = xllamacpp.Server(params)

    def post(endpoint, body):
        request = urllib.request.Request(server.listening_address + endpoint, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request, timeout=30).read())

    def tokenize(text):
        return post("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]

    if texts:
        print("RESULT", json.dumps([tokenize(text) for text in texts]), flush=True)
        os._exit(0)
    ids = tokenize(CHAT)
    chat = post("/v1/chat/completions", {"messages": [{"role": "user", "content": CHAT}], "max_tokens": 1})
    print("RESULT", json.dumps([ids, chat["usage"]["prompt_tokens"]]), flush=True)
    os._exit(0)


def save(vectors, file, places, words):
    """The long lists of places and words take a line each."""
    def lines(name, values):
        return f',\n "{name}": {{' + ",".join(f'\n  "{key}": {json.dumps(value)}' for key, value in values.items()) + "\n }"

    text = json.dumps(file, indent=1).removesuffix("\n}") + lines("places", places) + lines("words", words) + "\n}\n"
    (vectors / "text/tokens.json").write_text(text)


def main():
    if sys.argv[1] == "--llama-cpp":
        llama_cpp(sys.argv[2], sys.argv[3:])
    vectors = Path(sys.argv[1])
    folders = []
    for name, files, changes in FOLDERS:
        ids, special, wordy, decoded, mixed = folder(vectors / "tiny/tokenizer", files, changes)
        folders.append({"name": name, "files": files, "changes": changes, "ids": ids, "special": special, "wordy": wordy, "decoded": decoded, "mixed": mixed})
    ggufs = []
    for file, changes in GGUFS:
        changes = {"tokenizer.chat_template": TEMPLATE, **changes}
        with tempfile.TemporaryDirectory() as out:
            path = f"{out}/model.gguf"
            rewrite(vectors / "gguf" / file, path, changes)
            run = subprocess.run([sys.executable, __file__, "--llama-cpp", path], capture_output=True, text=True)
            found = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
            if not found:
                print("failed", file, changes, run.stderr[-200:])
                continue
            ids, chat = json.loads(found[0].removeprefix("RESULT "))
        ggufs.append({"file": file, "changes": changes, "ids": ids, "chat": chat})
    file = {"text": TEXT, "wordy": WORDY, "mixed": MIXED, "chat": CHAT, "folders": folders, "ggufs": ggufs}
    lists, rows = flags_of(vectors / "tiny/tokenizer")
    written = {name: [[where, *written] for where, written in places(flags).items()] for name, flags in FLAGS.items()}
    found = {"text": FLAGGED, "steps": STEPS, "written": written, "ids": lists, "rows": rows}
    save(vectors, file, found, words(vectors / "gguf/llama-rope-freqs.gguf"))


if __name__ == "__main__":
    main()
