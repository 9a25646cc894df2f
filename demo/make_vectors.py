#!/usr/bin/env python3
"""Write vectors.json from the reference generator: python make_vectors.py"""
import json
import os

from generate import Grammar, SplitMix64, sample


def main():
    g = Grammar()
    cases = [
        dict(seed=0, target_chars=1, n_facts=1),
        dict(seed=1, target_chars=300, n_facts=1),
        dict(seed=2, target_chars=500, n_facts=4),
        dict(seed=3, target_chars=400, n_facts=2, depths=[0, 1000]),
        dict(seed=4, target_chars=600, n_facts=3, depths=[500, 500, 250], ask=1),
        dict(seed=2**64 - 1, target_chars=900, n_facts=8),
        dict(seed=5, target_chars=250, n_facts=2, filler=["The grass is green.", "The sky is blue.", "Here we go."]),
        dict(seed=6, target_chars=1, n_facts=16),
    ]
    rng = []
    for seed in (0, 1, 1234567, 2**64 - 1):
        a, b = SplitMix64(seed), SplitMix64(seed)
        rng.append({"seed": seed, "next": [a.next() for _ in range(3)], "below_1000": [b.below(1000) for _ in range(5)]})
    out = {"rng": rng, "samples": []}
    for c in cases:
        args = {"depths": None, "ask": None, "filler": None, **c}
        out["samples"].append({"args": args, "want": sample(g, **args)})
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "vectors.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
