"""Training rows: token ids with a loss weight per predicted token."""
import copy
import os
import random
import re

import numpy as np
from tokenizers import Tokenizer

from generate import Grammar, SplitMix64, sample

BOS, EOS = 0, 1
W_DIGIT, W_LEAD, W_ANSWER, W_REPEAT, W_REST, W_PLAIN = 4.0, 2.0, 1.0, 1.5, 0.2, 0.5


class Rows:
    def __init__(self, tokenizer, texts, seed):
        self.tok = Tokenizer.from_file(tokenizer)
        self.g = Grammar()
        self.rnd = random.Random(seed)
        self.vocab = self.tok.get_vocab_size()
        self.prose, self.sent = [], []
        for name in ("moby", "plays"):
            with open(os.path.join(texts, name + ".txt"), encoding="utf-8") as f:
                t = f.read()
            self.prose.append(np.array(self.enc(t), dtype=np.uint16))
            s = [x.strip() for x in re.split(r"(?<=[.!?])\s+", t)]
            self.sent.append([x for x in s if 15 <= len(x) <= 400])

    def enc(self, s):
        return self.tok.encode(s, add_special_tokens=False).ids

    def plain(self, n):
        p = self.rnd.choice(self.prose)
        i = self.rnd.randrange(len(p) - n)
        return p[i : i + n].tolist()

    def grammar(self):
        """The grammar, sometimes with made-up keys or values of another length."""
        r, x = self.rnd, self.rnd.random()
        if x < 0.6:
            return self.g
        g = copy.copy(self.g)
        if x < 0.75:
            syl = lambda: r.choice("bcdfghjklmnprstvwz") + r.choice("aeiou") + r.choice(["", "", "n", "r", "l", "s", "m"])
            keys = {"".join(syl() for _ in range(r.randint(2, 3))) for _ in range(60)}
        elif x < 0.9:
            a, o = self.g.raw["lists"]["adj"], self.g.raw["lists"]["object"]
            keys = {"the %s %s" % (r.choice(a), r.choice(o)) for _ in range(60)}
        else:
            keys = set(g.keys)
            g.value_min, g.value_count = r.choice([(100, 900), (10000, 90000)])
        g.keys = sorted(keys)
        return g

    def qa(self, g, key, value, digits=W_DIGIT):
        q = self.enc(g.question(key, self.rnd.randrange(len(g.questions))))
        lead = self.enc(g.answer_lead(key))
        wl = W_ANSWER if g is self.g else W_LEAD
        a = self.enc(g.answer(value)) + [EOS]
        wa = [digits if self.tok.id_to_token(i).isdigit() else W_ANSWER for i in a]
        return q + lead + a, [W_REST] * len(q) + [wl] * len(lead) + wa

    def recall(self, t):
        r = self.rnd
        g = self.grammar()
        most = min(24, max(1, (t - 30) // 24))
        n = r.randint(1, most)
        nq = min(n, r.randint(1, max(1, min(12, (t - 14 * n) // 30))))
        prose = r.random() < 0.3
        filler = r.choice(self.sent) if prose else None
        room = t + 1 - 1 - 28 * nq
        cpt = 2.7 if prose else 3.9
        chars = int(room * cpt)
        for _ in range(12):
            s = sample(g, r.getrandbits(64), chars, n, filler=filler)
            ids = [BOS] + self.enc(s["text"])
            w = [W_REST] * len(ids)
            asked = r.sample(range(n), nq)
            for i in asked:
                a, b = self.qa(g, *s["facts"][i])
                ids += a
                w += b
            over = len(ids) - (t + 1)
            if over <= 0:
                return ids, w
            chars = max(1, chars - int((over + 4) * cpt))
            if chars == 1:
                n = max(1, n - 1)
                nq = min(nq, n)
        return self.dense(t)

    def dense(self, t):
        """Facts only, then the same facts again in another order: much to recall per token."""
        r = self.rnd
        g = self.grammar()
        n = max(2, min(40, int(t / (2.0 * 15) * r.uniform(0.5, 1.0))))
        s = sample(g, r.getrandbits(64), 1, n)
        ids, w = [BOS], [W_REST]
        x = self.enc(s["text"] + "\n")
        ids += x
        w += [W_REST] * len(x)
        for i in r.sample(range(n), n):
            k, v = s["facts"][i]
            if r.random() < 0.5:
                a, b = self.qa(g, k, v)
            else:
                a = self.enc(r.choice(g.facts).replace("{key}", k).replace("{value}", v) + " ")
                b = [W_DIGIT if self.tok.id_to_token(j).isdigit() else W_REST for j in a]
            if len(ids) + len(a) > t + 1:
                break
            ids += a
            w += b
        return ids, w

    def repeat(self, t):
        """Strings in no order that could be guessed, each said two to four times, with a little prose between."""
        r = self.rnd
        ids, w = [BOS], [W_REST]
        while len(ids) < t + 1:
            n = r.randint(3, 24) if r.random() < 0.8 else r.randint(8, max(8, t // 6))
            x = r.random()
            if x < 0.4:  # shuffled prose: tokens as frequent as in text
                seg = self.plain(n)
                r.shuffle(seg)
            elif x < 0.6:  # a small alphabet
                some = [r.randrange(2, self.vocab) for _ in range(r.randint(8, 40))]
                seg = [r.choice(some) for _ in range(n)]
            elif x < 0.8:
                digits = [self.tok.token_to_id(c) for c in "0123456789"]
                seg = [r.choice(digits) if r.random() < 0.6 else r.randrange(2, self.vocab) for _ in range(n)]
            else:
                seg = [r.randrange(2, self.vocab) for _ in range(n)]
            for i in range(r.randint(2, 4)):
                gap = self.plain(r.randint(1, 8)) if r.random() < 0.5 else []
                ids += gap + seg
                w += [W_REST] * len(gap) + ([0.0] * n if i == 0 else [0.0] + [W_REPEAT] * (n - 1))
        return ids[: t + 1], w[: t + 1]

    def text(self, t):
        if self.rnd.random() < 0.65:
            return [BOS] + self.plain(t), [W_PLAIN] * (t + 1)
        rng = SplitMix64(self.rnd.getrandbits(64))
        s = self.g.sentence(rng)
        while len(s) < 5 * t:
            s += ("\n" if rng.below(self.g.newline_one_in) == 0 else " ") + self.g.sentence(rng)
        return ([BOS] + self.enc(s))[: t + 1], [W_PLAIN] * (t + 1)

    def batch(self, b, t, mix):
        """mix: shares of (recall, dense, repeat, text). Returns ids, weights, kind of each row."""
        ids = np.full((b, t + 1), EOS, dtype=np.int64)
        w = np.zeros((b, t + 1), dtype=np.float32)
        kinds = self.rnd.choices(("recall", "dense", "repeat", "text"), mix, k=b)
        for i, kind in enumerate(kinds):
            x, y = getattr(self, kind)(t)
            ids[i, : len(x)] = x
            w[i, : len(x)] = y
        return ids, w, kinds
