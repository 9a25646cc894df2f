#!/usr/bin/env python3
"""Train the demo model within a budget of wall-clock minutes.

    python train.py --texts TEXTS_DIR --tokenizer model/tokenizer.json --run RUN_DIR --minutes 85

The schedule (learning rate, context length, mix of rows) depends on the elapsed share of the
budget and on the answer loss. A checkpoint is written every --save minutes; the same command
goes on from it.
"""
import argparse
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from model import CONFIG, Llama
from rows import W_DIGIT, Rows

STAGES = [128, 256, 512, 1024, 2304]
FORCED = [0.0, 0.12, 0.2, 0.3, 0.45]  # a stage begins at this share at the latest
DECAY = 0.35  # the last share of the budget, with a falling learning rate


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--texts", required=True)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--run", required=True)
    p.add_argument("--minutes", type=float, default=85)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--lr-embed", type=float, default=2e-3)
    p.add_argument("--tokens", type=int, default=8192, help="tokens in a step")
    p.add_argument("--seed", type=int, default=20)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--save", type=float, default=3)
    a = p.parse_args()

    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    os.makedirs(a.run, exist_ok=True)
    ck = os.path.join(a.run, "checkpoint.pt")
    model = Llama(CONFIG)
    # Muon for the matrices inside the layers, AdamW for the embedding and the norms.
    inner = [q for n, q in model.named_parameters() if q.dim() == 2 and "embed" not in n]
    rest = [q for n, q in model.named_parameters() if q.dim() == 1 or "embed" in n]
    opts = [
        torch.optim.Muon(inner, lr=a.lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=a.lr_embed, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    peaks = (a.lr, a.lr_embed)
    st = {"step": 0, "tokens": 0, "elapsed": 0.0, "stage": 0, "good": 0}
    if os.path.exists(ck):
        c = torch.load(ck, weights_only=True)
        model.load_state_dict(c["model"])
        for o, d in zip(opts, c["opts"]):
            o.load_state_dict(d)
        st = c["state"]
        print("resumed", st, flush=True)
    print("parameters", sum(q.numel() for q in model.parameters()), "torch", torch.__version__, "threads", a.threads, flush=True)
    rows = Rows(a.tokenizer, a.texts, a.seed + st["step"])
    rnd = rows.rnd

    def save():
        torch.save({"model": model.state_dict(), "opts": [o.state_dict() for o in opts], "state": st}, ck + ".tmp")
        os.replace(ck + ".tmp", ck)

    last, last_save, window, since = time.time(), time.time(), [], 0
    acc = {}  # context length -> [answer loss sum, n, exact, answers]
    other = {"repeat": [0.0, 0], "text": [0.0, 0]}
    while st["elapsed"] < a.minutes * 60:
        share = st["elapsed"] / (a.minutes * 60)
        s = st["stage"]
        while s + 1 < len(STAGES) and share >= FORCED[s + 1]:
            s += 1
            print("stage %d forced" % STAGES[s], flush=True)
        if s != st["stage"]:
            st["stage"], st["good"], window = s, 0, []
        t = STAGES[s]
        if s == len(STAGES) - 1:
            t = rnd.choices(STAGES, (0.05, 0.05, 0.08, 0.22, 0.6))[0]
        elif s and rnd.random() < 0.25:
            t = rnd.choice(STAGES[:s])
        factor = min(1.0, (st["step"] + 1) / 100) * min(1.0, 0.03 + 0.97 * (1 - share) / DECAY)
        for o, peak in zip(opts, peaks):
            for grp in o.param_groups:
                grp["lr"] = peak * factor
        lr = a.lr * factor
        mix = (0.35, 0.2, 0.3, 0.15) if s == 0 else (0.5, 0.15, 0.15, 0.2) if s <= 2 else (0.55, 0.05, 0.14, 0.26) if share < 0.65 else (0.62, 0.04, 0.06, 0.28)
        per_step = a.tokens // 2 if s <= 2 else a.tokens
        ids, w, kinds = rows.batch(max(1, per_step // t), t, mix)
        x = torch.from_numpy(ids)
        y, wy = x[:, 1:], torch.from_numpy(w[:, 1:])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = model.hidden(x[:, :-1])
            sel = wy > 0
            lg = model.logits(h[sel])
        ce = F.cross_entropy(lg.float(), y[sel], reduction="none")
        loss = (ce * wy[sel]).sum() / wy[sel].sum()
        model.zero_grad(set_to_none=True)
        loss.backward()
        gn = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not math.isfinite(float(gn)):
            print("bad gradient, skipped", flush=True)
            continue
        for o in opts:
            o.step()

        with torch.no_grad():
            full = torch.zeros_like(wy)
            full[sel] = ce.detach()
            hit = torch.zeros_like(sel)
            hit[sel] = lg.argmax(-1) == y[sel]
            r = [i for i, k in enumerate(kinds) if k == "recall"]
            if r:
                d = (wy[r] == W_DIGIT)
                e = acc.setdefault(t, [0.0, 0, 0, 0])
                e[0] += float(full[r][d].sum())
                e[1] += int(d.sum())
                dn, hn = d.numpy(), hit[r].numpy()
                for i in range(len(r)):
                    pos = np.flatnonzero(dn[i])
                    for run in np.split(pos, np.flatnonzero(np.diff(pos) > 1) + 1):
                        e[2] += bool(hn[i][run].all())
                        e[3] += 1
                if t == STAGES[s]:
                    window.append((float(full[r][d].sum()), int(d.sum())))
            for k in other:
                m = [i for i, z in enumerate(kinds) if z == k]
                if m:
                    ws = wy[m] >= 0.5
                    other[k][0] += float(full[m][ws].sum())
                    other[k][1] += int(ws.sum())
        st["step"] += 1
        st["tokens"] += x.shape[0] * t
        since += x.shape[0] * t
        now = time.time()
        st["elapsed"] += now - last
        dt, last = now - last, now
        if len(window) >= 15:
            m = sum(q for q, _ in window) / max(1, sum(n for _, n in window))
            st["good"] = st["good"] + 1 if m < 0.35 else 0
            window = []
            if st["good"] >= 2 and st["stage"] + 1 < len(STAGES):
                st["stage"] += 1
                st["good"] = 0
                print("promoted to %d at step %d, %.2f M tokens, %.1f min" % (STAGES[st["stage"]], st["step"], st["tokens"] / 1e6, st["elapsed"] / 60), flush=True)
        if st["step"] % 20 == 0:
            line = " ".join("%d:%.3f/%.2f(%d)" % (k, v[0] / max(1, v[1]), v[2] / max(1, v[3]), v[3]) for k, v in sorted(acc.items()))
            oth = " ".join("%s %.2f" % (k, v[0] / max(1, v[1])) for k, v in other.items())
            print("%5d %5.1fmin %.2fM T=%d lr %.1e gn %.2f %s | answers %s | %.0f tok/s" % (
                st["step"], st["elapsed"] / 60, st["tokens"] / 1e6, STAGES[st["stage"]], lr, float(gn), oth, line, x.shape[0] * t / dt), flush=True)
            acc, other = {}, {"repeat": [0.0, 0], "text": [0.0, 0]}
        if now - last_save > a.save * 60:
            save()
            last_save = now
    save()
    print("done", st, flush=True)


if __name__ == "__main__":
    main()
