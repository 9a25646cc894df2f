"""Writes tests/vectors/mask/selection.json: masks selected by a plain NumPy version of the stage-2 rule.

    python tests/reference/selection_vectors.py

Needs NumPy. Scores are multiples of 1/16 so that ties and zeros are common and every number is exact in f32."""

import json
import pathlib

import numpy as np


def in_heads(scores, counts):
    """The best units of each head; a stable sort leaves ties at the lower index first."""
    mask = np.zeros(scores.shape, bool)
    for index in np.ndindex(scores.shape[:2]):
        order = np.argsort(-scores[index], kind="stable")
        mask[index][order[: counts[index]]] = True
    return mask


def global_rule(scores, sparsity, align, upstream):
    """One quantile over all scores, each head's number rounded to the alignment."""
    size = scores.shape[2]
    threshold = np.quantile(scores, sparsity)
    reached = scores >= threshold
    if not upstream:
        reached &= scores > 0
    counts = reached.sum(axis=2)
    rounded = np.minimum((counts + align // 2) // align * align, size)
    return rounded if upstream else np.where(counts == size, size, rounded)


def exact_rule(scores, sparsity, align):
    """The most valuable blocks, as many as fit; head_dim is a multiple of the alignment here."""
    layers, heads, size = scores.shape
    best_first = -np.sort(-scores, axis=2)
    gains = best_first.reshape(layers, heads, size // align, align).sum(axis=3)
    blocks = int(np.floor((1 - sparsity) * scores.size + 1e-9 * scores.size)) // align
    order = np.argsort(-gains.reshape(-1), kind="stable")[:blocks]
    taken = np.zeros(gains.size, int)
    taken[order] = 1
    return taken.reshape(gains.shape).sum(axis=2) * align


def case(rng, shape, sparsity, align, rule, pairs, zeros):
    sixteenths = rng.integers(0, 17, shape)
    sixteenths[rng.random(shape) < zeros] = 0
    scores = sixteenths / 16
    units = (scores[..., : shape[2] // 2] + scores[..., shape[2] // 2 :]) / 2 if pairs else scores
    step = max(align // 2, 1) if pairs else align
    counts = exact_rule(units, sparsity, step) if rule == "exact" else global_rule(units, sparsity, step, rule == "upstream")
    mask = in_heads(units, counts)
    mask = np.concatenate([mask, mask], axis=2) if pairs else mask
    return {
        "shape": list(shape),
        "sparsity": sparsity,
        "align": align,
        "rule": rule,
        "pair_closed": pairs,
        "sixteenths": sixteenths.reshape(-1).tolist(),
        "mask": "".join("01"[int(bit)] for bit in mask.reshape(-1)),
    }


def main():
    rng = np.random.default_rng(20250805)
    cases = []
    for rule in ("global", "upstream", "exact"):
        for align, shape in ((1, (2, 2, 8)), (2, (3, 1, 16)), (4, (2, 3, 16)), (8, (2, 2, 32)), (32, (2, 2, 64))):
            for sparsity, zeros in ((0.0, 0.0), (0.3, 0.2), (0.5, 0.0), (0.7, 0.6), (0.9, 0.9), (1.0, 0.1)):
                cases.append(case(rng, shape, sparsity, align, rule, False, zeros))
    for rule in ("global", "exact"):
        for align, shape in ((1, (2, 2, 8)), (4, (2, 2, 16)), (8, (1, 3, 32))):
            for sparsity, zeros in ((0.3, 0.2), (0.7, 0.5)):
                cases.append(case(rng, shape, sparsity, align, rule, True, zeros))
    for align, shape in ((32, (2, 2, 80)), (8, (2, 2, 20))):
        for sparsity in (0.1, 0.4, 0.7):
            cases.append(case(rng, shape, sparsity, align, "global", False, 0.1))
    path = pathlib.Path(__file__).parents[1] / "vectors" / "mask" / "selection.json"
    path.write_text("[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in cases) + "\n]\n")
    print(f"{len(cases)} cases, {path.stat().st_size} bytes")


main()
