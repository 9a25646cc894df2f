#!/usr/bin/env python3
"""Score vectors with the packages that LongBench uses, over texts made here.

    pip install rouge==1.0.1 fuzzywuzzy==0.18.0
    python make_eval_scores.py > ../vectors/eval/scores.jsonl

fuzzywuzzy must find no python-Levenshtein. A line is {metric, prediction, references, all_classes, score}.
"""

import json
import random
import re
import string
import warnings
from collections import Counter

warnings.simplefilter("ignore")
from fuzzywuzzy import fuzz  # noqa: E402
from rouge import Rouge  # noqa: E402


def words(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def qa_f1(prediction, truth):
    own, other = words(prediction), words(truth)
    same = sum((Counter(own) & Counter(other)).values())
    if not same:
        return 0.0
    precision, recall = same / len(own), same / len(other)
    return 2 * precision * recall / (precision + recall)


def rouge_l(prediction, truth):
    try:
        return Rouge().get_scores([prediction], [truth], avg=True)["rouge-l"]["f"]
    except Exception:
        return 0.0


def code_sim(prediction, truth):
    lines = prediction.lstrip("\n").split("\n")
    line = next((x for x in lines if "`" not in x and "#" not in x and "//" not in x), "")
    return fuzz.ratio(line, truth) / 100


def classification(prediction, truth, classes):
    named = [name for name in classes if name in prediction]
    for name in named:
        if name in truth and name != truth:
            named.remove(name)
    return 1.0 / len(named) if truth in named else 0.0


SCORES = {"qa_f1": qa_f1, "rouge_l": rouge_l, "code_sim": code_sim}


def say(metric, prediction, references, classes=None):
    if classes:
        score = max(classification(prediction, one, classes) for one in references)
    else:
        score = max(SCORES[metric](prediction, one) for one in references)
    line = {"metric": metric, "prediction": prediction, "references": references}
    if classes:
        line["all_classes"] = classes
    print(json.dumps({**line, "score": score}, ensure_ascii=False))


def main():
    draw = random.Random(7)
    few = ["mill", "river", "the", "stone", "a", "of", "Stone", "old", "don't", "“wall”", "x-ray", "été", ""]
    for _ in range(60):
        text = lambda most: " ".join(draw.choice(few) for _ in range(draw.randrange(most)))  # noqa: E731
        sentences = lambda: draw.choice([". ", ".", ".\n", "  "]).join(text(9) for _ in range(draw.randrange(1, 5)))  # noqa: E731
        say("qa_f1", text(9), [text(6) for _ in range(draw.randrange(1, 3))])
        say("rouge_l", sentences(), [sentences() for _ in range(draw.randrange(1, 3))])
    # Walking back through the table of these takes 2 * most + 1 calls, and Python stops at a thousand.
    for most in [300, 480, 520]:
        own, other = (" ".join(f"{letter}{i}" for i in range(most)) for letter in "uv")
        say("rouge_l", "w0 " + own, ["w0 " + other])
    alphabet = "abc =().;_\n#`/"
    for size in [4, 12, 40, 150, 199, 200, 250, 600]:
        for _ in range(8):
            one = "".join(draw.choice(alphabet[: draw.choice([3, 9, 14])]) for _ in range(draw.randrange(size + 1)))
            two = list(one)
            for _ in range(draw.randrange(1 + size // 4)):
                two.insert(draw.randrange(len(two) + 1), draw.choice(alphabet[:9]))
            two = "".join(two).replace("\n", " ")
            say("code_sim", one, [two])
            say("code_sim", two, [two + draw.choice(["", ";"])])
    # Texts of many characters, where frequent ones are left out.
    for size in [210, 480]:
        for _ in range(6):
            one = "".join(chr(97 + min(25, int(draw.expovariate(0.15)))) for _ in range(size))
            two = "".join(c for c in one if draw.random() < 0.8) + "tail of it"
            say("code_sim", one, [two])
            say("code_sim", two, [one])
    classes = ["Number", "Number of something", "some", "something", "Date", "Other location", "location"]
    for _ in range(40):
        named = " or ".join(draw.choice(classes) for _ in range(draw.randrange(4)))
        say("classification", named, [draw.choice(classes)], classes)


if __name__ == "__main__":
    main()
