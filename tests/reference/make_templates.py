#!/usr/bin/env python3
"""Pieces of chat templates, and what transformers renders of them.

    python make_templates.py OUT          # OUT = tests/vectors/text

Writes OUT/templates.json: the pieces of template_snippets.py, template_chats.py and
template_models.py, written for this test, each with the text that transformers gives for the same
messages, or null where it refuses them.
"""

import json
import sys
from pathlib import Path

import transformers
from template_chats import CHATS
from template_models import MODELS
from template_snippets import CONSTRUCTS, PYTHON
from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MESSAGES = [
    {"role": "system", "content": "  Be brief. "},
    {"role": "user", "content": "<b> & 'é' \"日本\" \\ \n\ttab\u007f\u0001"},
    {"role": "assistant", "content": "<think>why</think>\n\nBecause."},
    {"role": "user", "content": "a=b=c"},
]


def templates():
    for pieces in (CONSTRUCTS, PYTHON, CHATS, MODELS):
        yield from pieces.removeprefix("\n").removesuffix("\n").split("\n----\n")
    yield "{{ 'a' }}\n"
    yield "{{ 'a' }}\r\n{{ 'b' }}\r\n"
    yield "\n\n{{ bos_token }}\n\n"


def main():
    cases = []
    for source in templates():
        try:
            rendered, _ = render_jinja_template(
                conversations=[MESSAGES], chat_template=source, add_generation_prompt=True, **SPECIAL
            )
            text = rendered[0]
        except Exception as error:
            text = None
            print(f"refused: {source[:60]!r}: {type(error).__name__}: {error}"[:150], file=sys.stderr)
        cases.append({"template": source, "text": text})
    file = {
        "transformers": transformers.__version__,
        "special": SPECIAL,
        "messages": [[m["role"], m["content"]] for m in MESSAGES],
        "cases": cases,
    }
    out = Path(sys.argv[1]) / "templates.json"
    out.write_text(json.dumps(file, ensure_ascii=True, indent=1) + "\n")


if __name__ == "__main__":
    main()
