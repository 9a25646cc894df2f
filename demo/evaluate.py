#!/usr/bin/env python3
"""Evaluate the exported demo model: recall on fresh samples, prose bits per byte.

    python evaluate.py --model model --texts TEXTS_DIR --n 100 [--quick]

Weights are the exported f16 ones, computed in f32. One forward pass a sample: when the
argmax at every answer position is the true token, greedy decoding gives exactly this
answer, so "digits" is the exact match of the value after the answer lead, and "whole" the
exact match of everything after "Answer:", <|end|> included.
"""
import argparse
import json
import math
import os
import re
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from generate import Grammar, sample
from model import Llama

FIRST_SEED = 1_000_000_000


def load(path):
    with open(os.path.join(path, "config.json")) as f:
        m = Llama(json.load(f))
    m.load_state_dict({k: v.float() for k, v in load_file(os.path.join(path, "model.safetensors")).items()})
    return m.eval(), Tokenizer.from_file(os.path.join(path, "tokenizer.json"))


def fit(tok, g, seed, tokens, n_facts, filler=None):
    """The longest sample (in steps of 2 %) whose whole prompt has at most `tokens` tokens."""
    chars = int(tokens * (2.9 if filler else 4.2))
    while True:
        s = sample(g, seed, chars, n_facts, filler=filler)
        ids = tok.encode(s["text"] + s["question"]).ids
        if len(ids) <= tokens:
            return s, ids
        chars -= max(8, chars // 50)


@torch.no_grad()
def recall(model, tok, g, tokens, n_facts, n, filler=None):
    enc = lambda t: tok.encode(t, add_special_tokens=False).ids
    rows, length = [], 0
    for i in range(n):
        s, ids = fit(tok, g, FIRST_SEED + i, tokens, n_facts, filler)
        lead = enc(s["answer_lead"])
        ans = enc(s["answer"])
        full = ids + lead + ans + [1]
        length += len(ids)
        lg = model.logits(model.hidden(torch.tensor([full[:-1]]))[0, len(ids) - 1 :])
        want = torch.tensor(full[len(ids) :])
        ok = lg.argmax(-1) == want
        d = [j for j, x in enumerate(want.tolist()) if j >= len(lead) and tok.id_to_token(x).isdigit()]
        nll = F.cross_entropy(lg[d], want[d]).item()
        k, v = s["facts"][s["ask"]]
        depth = s["text"].index("code for %s is" % k) / len(s["text"])
        rows.append((depth, bool(ok[d].all()), bool(ok.all()), nll))
    thirds = []
    for a in range(3):
        r = [x[1] for x in rows if a / 3 <= x[0] < (a + 1) / 3 or (a == 2 and x[0] >= 1)]
        thirds.append((sum(r), len(r)))
    return {
        "facts": n_facts, "tokens": tokens, "mean_tokens": round(length / n), "n": n,
        "digits": sum(x[1] for x in rows), "whole": sum(x[2] for x in rows),
        "digit_nll": round(sum(x[3] for x in rows) / n, 4), "thirds": thirds,
    }


@torch.no_grad()
def prose(model, tok, path, window=1024):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    ids = tok.encode(text, add_special_tokens=False).ids
    nats = 0.0
    for i in range(0, len(ids), window):
        x = torch.tensor([[0] + ids[i : i + window]])
        nats += F.cross_entropy(model(x[:, :-1])[0], x[0, 1:], reduction="sum").item()
    return nats / math.log(2) / len(text.encode())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--texts", required=True)
    p.add_argument("--n", type=int, default=100)
    p.add_argument("--only", choices=("generator", "prose"), help="half of the table, to run both halves side by side")
    p.add_argument("--quick", action="store_true", help="one length, no prose haystack")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", help="write the results here as well")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    model, tok = load(a.model)
    g = Grammar()
    out = {"recall": []}

    def row(name, *args, **kw):
        t = time.time()
        r = recall(model, tok, g, *args, **kw)
        r["haystack"] = name
        out["recall"].append(r)
        print("| %s | 1 of %d | %d (%d) | %d/%d | %d/%d | %s | %.4f |" % (
            name, r["facts"], r["tokens"], r["mean_tokens"], r["digits"], r["n"], r["whole"], r["n"],
            " ".join("%d/%d" % x for x in r["thirds"]), r["digit_nll"]), "%.0f s" % (time.time() - t), flush=True)

    print("| haystack | facts | tokens (mean) | digits exact | whole answer exact | by depth third | digit NLL |\n|---|---|---|---|---|---|---|")
    for tokens in () if a.only == "prose" else (512,) if a.quick else (512, 1024, 2000):
        for facts in (4, 16):
            row("generator", tokens, facts, a.n)
    if not a.quick and a.only != "generator":
        with open(os.path.join(a.texts, "moby_tail.txt"), encoding="utf-8") as f:
            filler = [x.strip() for x in re.split(r"(?<=[.!?])\s+", f.read())]
        filler = [x for x in filler if 15 <= len(x) <= 400]
        for tokens, facts in ((1024, 4), (2000, 4), (2000, 16)):
            row("held-out Moby-Dick", tokens, facts, a.n, filler=filler)
    for name in () if a.only == "generator" else ("moby", "plays"):
        out[name] = round(prose(model, tok, os.path.join(a.texts, name + "_tail.txt")), 3)
        print("held-out %s: %.3f bits per byte" % (name, out[name]), flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
