#!/usr/bin/env python3
"""Write reference.json from the exported model with `transformers`, for tests of other programs.

    python reference.py MODEL_DIR OUT_JSON

Weights are the exported f16 ones, computed in f32. A prompt is stored as generator
arguments and ids (<|begin|> + text + question); then the greedy continuation and the
five largest logits behind the last prompt token.
"""
import json
import sys

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from evaluate import fit
from generate import Grammar, sample

NEW = 24


def main():
    path, out = sys.argv[1:3]
    model = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    tok = Tokenizer.from_file(path + "/tokenizer.json")
    g = Grammar()
    prompts = []
    for seed, chars, facts in ((11, 300, 2), (12, None, 16)):
        if chars is None:  # the longest sample whose prompt has at most 1,900 tokens
            s, _ = fit(tok, g, seed, 1900, facts)
            chars = next(c for c in range(4 * 1900 + 600, 0, -1) if sample(g, seed, c, facts)["text"] == s["text"])
        s = sample(g, seed, chars, facts)
        ids = tok.encode(s["text"] + s["question"]).ids
        with torch.no_grad():
            last = model(torch.tensor([ids])).logits[0, -1]
            x, new = list(ids), []
            past = None
            for _ in range(NEW):
                o = model(torch.tensor([x]) if past is None else torch.tensor([x[-1:]]), past_key_values=past, use_cache=True)
                past = o.past_key_values
                x.append(int(o.logits[0, -1].argmax()))
                new.append(x[-1])
        top = torch.topk(last, 5)
        prompts.append({
            "args": {"seed": seed, "target_chars": chars, "n_facts": facts},
            "expected": s["answer_lead"] + s["answer"],
            "ids": ids, "greedy": new, "greedy_text": tok.decode(new, skip_special_tokens=False),
            "top5": [{"id": i, "logit": round(v, 5)} for i, v in zip(top.indices.tolist(), top.values.tolist())],
        })
        print(len(ids), repr(prompts[-1]["greedy_text"]), "expected", repr(prompts[-1]["expected"]))
    with open(out, "w") as f:
        f.write('{"note": "f16 weights computed in f32 by transformers; logits behind the last prompt token",\n "prompts": [\n')
        f.write(",\n".join("  " + json.dumps(x) for x in prompts) + "\n]}\n")


if __name__ == "__main__":
    main()
