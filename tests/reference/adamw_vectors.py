"""Writes tests/vectors/learn/adamw.json: AdamW and the schedule of LeanK's training in PyTorch,
for kscope's own optimiser.

Run from the repository: python tests/reference/adamw_vectors.py
"""

import json
import pathlib

import torch


def rate(lr, step, steps):
    """Linear rise over the first fifth, flat, linear fall over the last; never below a tenth."""
    fifth = max(steps // 5, 1)
    return lr * min(1.0, max((step + 1) / fifth, 0.1), max((steps - step) / fifth, 0.1))


def case(lr, steps, entries, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(entries, generator=generator)
    parameter = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([parameter], lr=lr, weight_decay=0.0)
    updates = []
    for step in range(steps):
        gradient = torch.randn(entries, generator=generator) * 10.0 ** float(-6 * torch.rand(1, generator=generator))
        optimiser.param_groups[0]["lr"] = rate(lr, step, steps)
        parameter.grad = gradient.clone()
        optimiser.step()
        updates.append({"gradient": gradient.tolist(), "lr": rate(lr, step, steps), "parameters": parameter.detach().tolist()})
        with torch.no_grad():
            parameter.clamp_(0.0, 1.0)
    return {"lr": lr, "steps": steps, "start": start.tolist(), "updates": updates}


out = pathlib.Path(__file__).parent.parent / "vectors" / "learn" / "adamw.json"
cases = [case(0.02, 30, 6, 0), case(0.002, 12, 6, 1), case(0.5, 3, 6, 2)]
out.write_text(json.dumps({"torch": torch.__version__, "cases": cases}) + "\n")
