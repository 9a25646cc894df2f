#!/usr/bin/env python3
"""Train the byte-level BPE tokenizer: python train_tokenizer.py TEXTS_DIR OUT_DIR"""
import json
import os
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from generate import Grammar, sample

VOCAB = 2048
# A question is wrapped exactly as in training; a message that already holds a
# "Question:" line (a whole demo prompt) is passed through.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'user' %}"
    "{% if 'Question:' in message['content'] %}{{ message['content'] }}"
    "{% else %}{{ '\\nQuestion: ' + message['content'] }}{% endif %}{{ '\\nAnswer:' }}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
)


def main():
    texts, out = sys.argv[1:3]
    g = Grammar()
    corpus = []
    for seed in range(1500):
        s = sample(g, seed, 1500, 12)
        corpus.append(s["text"] + s["question"] + s["answer_lead"] + s["answer"])
    for name, n in (("moby", 1_200_000), ("plays", 1_200_000)):
        with open(os.path.join(texts, name + ".txt"), encoding="utf-8") as f:
            corpus.extend(f.read()[:n].split("\n"))
    # the keys often enough that most become single tokens (made-up keys of several are trained, too)
    corpus.extend([" for " + k for k in g.keys for _ in range(400)])
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
    )
    t.train_from_iterator(corpus, trainer)
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", 0)]),
    ])
    os.makedirs(out, exist_ok=True)
    t.save(os.path.join(out, "tokenizer.json"))
    with open(os.path.join(out, "tokenizer_config.json"), "w") as f:
        json.dump({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>",
            "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False,
            "model_max_length": 2560, "chat_template": CHAT_TEMPLATE,
        }, f, indent=1)
        f.write("\n")
    print(t.get_vocab_size(), t.encode("The code for amber is 4821.").tokens)
    one = sum(len(t.encode(" " + k, add_special_tokens=False).ids) == 1 for k in g.keys)
    print("keys of one token:", one, "of", len(g.keys))


if __name__ == "__main__":
    main()
