#!/usr/bin/env python3
"""Deterministic text generator of the demo model: plain sentences with hidden facts.

The exact algorithm (order of random draws included) is in SPEC.md, the words and
templates are in grammar.json, test vectors in vectors.json. A twin in another language
must give byte-identical text for equal arguments.

    python generate.py --seed 7 --chars 600 --facts 4
"""
import argparse
import json
import os
import re

MASK = (1 << 64) - 1
SLOT = re.compile(r"\{([a-z_]+)\}")


class SplitMix64:
    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        """A number 0 <= x < n: the high 64 bits of next() * n."""
        return (self.next() * n) >> 64


class Grammar:
    def __init__(self, path=None):
        path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), "grammar.json")
        with open(path, encoding="utf-8") as f:
            g = json.load(f)
        self.raw = g
        self.keys = g["keys"]
        self.facts = g["facts"]
        self.questions = g["questions"]
        self.value_min, self.value_count = g["value_min"], g["value_count"]
        self.newline_one_in = g["newline_one_in"]
        # each sentence as [literal, list, literal, list, ..., literal]
        self.sentences = []
        for s in g["sentences"]:
            parts = SLOT.split(s)
            self.sentences.append([p if i % 2 == 0 else g["lists"][p] for i, p in enumerate(parts)])

    def sentence(self, rng):
        parts = self.sentences[rng.below(len(self.sentences))]
        out = []
        for i, p in enumerate(parts):
            out.append(p if i % 2 == 0 else p[rng.below(len(p))])
        s = "".join(out)
        return s[0].upper() + s[1:]

    def question(self, key, which=0):
        q = self.questions[which].replace("{key}", key)
        return self.raw["question_form"].replace("{question}", q)

    def answer_lead(self, key):
        return self.raw["answer_lead"].replace("{key}", key)

    def answer(self, value):
        return self.raw["answer"].replace("{value}", value)


def sample(g, seed, target_chars, n_facts, depths=None, ask=None, filler=None):
    """One sample; see SPEC.md.

    depths: n_facts integers 0..=1000 (per mille of the text), or None for stratified random;
    ask: index of the fact that is asked for, or None for random;
    filler: sentences of the caller's own instead of generated ones.
    """
    rng = SplitMix64(seed)
    keys = list(g.keys)
    if n_facts < 1 or n_facts > len(keys):
        raise ValueError("n_facts must be 1..=%d" % len(keys))
    for i in range(n_facts):
        j = i + rng.below(len(keys) - i)
        keys[i], keys[j] = keys[j], keys[i]
    values = []
    while len(values) < n_facts:
        v = str(g.value_min + rng.below(g.value_count))
        if v not in values:
            values.append(v)
    said = [g.facts[rng.below(len(g.facts))] for _ in range(n_facts)]
    drawn = rng.below(n_facts)
    ask = drawn if ask is None else ask
    which = rng.below(len(g.questions))
    if depths is None:
        depths = [(i * 1000 + rng.below(1000)) // n_facts for i in range(n_facts)]
    facts = [(keys[i], values[i]) for i in range(n_facts)]
    lines = [t.replace("{key}", k).replace("{value}", v) for t, (k, v) in zip(said, facts)]

    length = sum(len(x.encode()) + 1 for x in lines)
    fill = []
    start = rng.below(len(filler)) if filler else 0
    while length < target_chars:
        s = filler[(start + len(fill)) % len(filler)] if filler else g.sentence(rng)
        fill.append(s)
        length += len(s.encode()) + 1

    order = sorted(range(n_facts), key=lambda i: (depths[i] * len(fill) // 1000, i))
    body, at = [], 0
    for pos in range(len(fill) + 1):
        while at < n_facts and depths[order[at]] * len(fill) // 1000 == pos:
            body.append(lines[order[at]])
            at += 1
        if pos < len(fill):
            body.append(fill[pos])
    text = body[0]
    for s in body[1:]:
        text += ("\n" if rng.below(g.newline_one_in) == 0 else " ") + s

    key, value = facts[ask]
    return {
        "text": text,
        "facts": facts,
        "ask": ask,
        "depths": depths,
        "question": g.question(key, which),
        "answer_lead": g.answer_lead(key),
        "answer": g.answer(value),
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--chars", type=int, default=600)
    p.add_argument("--facts", type=int, default=4)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    s = sample(Grammar(), a.seed, a.chars, a.facts)
    print(json.dumps(s, indent=1) if a.json else s["text"] + s["question"] + s["answer_lead"] + s["answer"])


if __name__ == "__main__":
    main()
