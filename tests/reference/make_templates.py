#!/usr/bin/env python3
"""Constructs of chat templates, and what transformers renders of them.

    python make_templates.py OUT          # OUT = tests/vectors/text

Writes OUT/templates.json: pieces of templates written for this test, each with the text that
transformers gives for the same messages, or null where it refuses them.
"""

import json
import sys
from pathlib import Path

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MESSAGES = [
    {"role": "system", "content": "  Be brief. "},
    {"role": "user", "content": "<b> & 'é' \"日本\" \\ \n\ttab\u007f\u0001"},
    {"role": "assistant", "content": "<think>why</think>\n\nBecause."},
    {"role": "user", "content": "a=b=c"},
]

TEMPLATES = r"""
{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token }}{{ sep_token }}|
{% if tools is none %}none{% else %}some{% endif %}
{% if tools is not none %}some{% else %}none{% endif %}
{% if tools is defined and tools is not none %}some{% else %}none{% endif %}
{% if tools %}some{% else %}none{% endif %}{{ tools }}{{ documents }}
{% if documents is none %}none{% endif %}{% if documents is defined %}defined{% endif %}
{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools is none }}
{{ add_generation_prompt }}{{ enable_thinking is defined }}{{ date_string is defined }}
{{ messages[1]['content'] | tojson }}
{{ messages | tojson }}
{{ messages[0] | tojson(indent=2) }}
{{ messages | tojson(indent=4) }}
{{ messages | tojson(indent=0) }}
{{ messages[0] | tojson(indent='\t') }}
{{ messages | tojson(separators=(',', ':')) }}
{{ messages[1] | tojson(ensure_ascii=True) }}
{{ messages[1] | tojson(True, 1) }}
{{ {'b': 1, 'a': [1, 2.5, true, none, 'x'], 'c': {}, 'd': []} | tojson }}
{{ {'b': 1, 'a': [1, {'z': 1, 'y': 2}], 'c': {}, 'd': []} | tojson(indent=2, sort_keys=True) }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}
{{ [1e16, 1e15, 0.1, 1e-4, 1e-5, 1.0, 123456789.125, 1e300, 2.5e-7] | tojson }}
{{ [1, 10000000000000000000000, -5, true] | tojson }}
{{ {1: 'a', true: 'b', none: 'c', 2.5: 'd'} | tojson }}
{{ (1, 2) | tojson }}{{ 'x' | tojson }}{{ none | tojson }}{{ '' | tojson }}
{{ missing | tojson }}
{{ {'type': 'function', 'function': {'name': 'f', 'parameters': {'z': 1, 'b': {'y': 1, 'a': 2}}}} | tojson }}
{% set d = {'z': 1, 'b': 2, 'a': 3} %}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% set d = {'z': 1, 'b': 2, 'a': 3} %}{{ d.keys() | list }}{{ d.values() | list }}{{ d | list }}{{ d | length }}{{ d }}
{% set d = {'z': 1, 'b': 2} %}{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}{% for k, v in d | items %}{{ k }}{{ v }}{% endfor %}
{% set d = dict(z=1, a=2) %}{{ d.get('z') }}{{ d.get('q') }}{{ d.get('q', 'x') }}{{ d['a'] }}{{ d.a }}{{ 'z' in d }}{{ 'q' not in d }}
{% set d = dict({'a': 1}, b=2) %}{{ d }}{{ d.copy() }}
{% for m in messages %}{{ m }}{% endfor %}
{% for m in messages %}{{ m.content }}{% break %}{% endfor %}
{% for m in messages %}{% if m.role != 'user' %}{% continue %}{% endif %}{{ m.role }}{{ loop.index }}{% endfor %}
{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% else %}{{ m.role }}{% endif %}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{% else %}nobody{% endfor %}
{% for m in messages if m.role == 'tool' %}x{% else %}nobody{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else 'start' }}>{{ loop.nextitem.role if not loop.last else 'end' }};{% endfor %}
{% for m in messages %}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }}{% endfor %}
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}
{%- for m in messages -%}{%- generation -%} {{ m.role }} {%- endgeneration -%}{%- endfor -%}
{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}
{% raw %}{% generation %}{{ x }}{% endraw %}{# {% generation %} #}{{ '{% generation %}' }}
{% set x = 0 %}{% for m in messages %}{% set x = x + 1 %}{% endfor %}{{ x }}
{% set ns = namespace(n=0, found=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.n }}{{ ns.found }}
{% set ns = namespace() %}{% set ns.x = messages[0] %}{{ ns.x.role }}{{ ns.y }}
{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] | trim %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ sys }}{{ rest | length }}
{% for m in messages[::-1] %}{{ m.role }}{% endfor %}{{ messages[-1].role }}{{ messages[-1:] | length }}{{ messages[1:3] | length }}{{ messages[:-1] | length }}{{ messages[::2] | length }}
{% for m in messages | reverse %}{{ m.role }}{% endfor %}{{ 'abc' | reverse }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(',') }}
{{ messages | map(attribute='role') | unique | list }}{{ messages | selectattr('content') | list | length }}{{ messages | selectattr('role', 'in', ['user']) | list | length }}
{{ (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}{{ (messages | last).role }}{{ (messages | first).role }}
{% for group in messages | groupby('role') %}{{ group.grouper }}{{ group.list | length }}{% endfor %}
{{ [1, 2, 3] | sum }}{{ [3, 1, 2] | sort }}{{ [3, 1, 2] | max }}{{ ['b', 'A'] | sort }}{{ [1, 2, 3] | select('odd') | list }}{{ [1, 2, 3, 4, 5] | batch(2) | list }}
{{ [1, 2] + [3] }}{{ [1, [2, 'x']] }}{{ (1, 2) }}{{ (1,) }}{{ [] }}{{ {} }}{{ [none, true, 1.0, 'it''s'] }}
{{ true }}{{ false }}{{ none }}{{ True }}{{ None }}{{ 1.0 }}{{ 1e3 }}{{ 7 // 2 }}{{ 7 / 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 2 ** 3 }}{{ 6 / 2 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }}{{ 'a' * 3 }}{{ 'a' + 'b' }}{{ 'x' 'y' }}{{ "%05.2f" | format(3.14159) }}
{{ '{} {x}'.format('a', x=1) }}{{ '{:>5}|{:<5}|{:^5}|{:05d}'.format('a', 'b', 'c', 7) }}
{{ '%s-%d' % ('a', 3) }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ [1] == [1] }}{{ none == false }}{{ 'a' in 'cat' }}{{ 1 in [1] }}{{ not true or true and false }}
{{ messages[1].content is string }}{{ messages is string }}{{ messages is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}{{ messages is iterable }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ messages[0] is mapping }}{{ [] is mapping }}
{{ 1 is number }}{{ 1.0 is number }}{{ true is number }}{{ 1 is integer }}{{ true is integer }}{{ 1.5 is float }}{{ true is boolean }}{{ none is none }}{{ x is defined }}{{ x is undefined }}{{ 'A' is upper }}{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is sameas 1 }}{{ true is true }}{{ 1 is true }}{{ 'a' is eq 'a' }}{{ 1 is in [1] }}
{{ x }}{{ x or 'd' }}{{ x | default('d') }}{{ '' | default('d', true) }}{{ none | default('d') }}{{ x is none }}{{ x == none }}{{ x | length }}{{ 'a' in x }}{% for y in x %}{% endfor %}
{{ x.y }}
{{ x is sequence }}{{ x is iterable }}{{ x is mapping }}{{ x is string }}{{ x is number }}
{{ messages[0].nothing }}{{ messages[0]['nothing'] is defined }}{{ messages[9] is defined }}{{ messages[0].tool_calls is defined and messages[0].tool_calls }}
{{ messages[9].role }}
{{ 'a' if false }}|{{ 'a' if true else 'b' }}|{{ ('a' if false else 'b') | upper }}
{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.partition('=')[2] }}{{ 'abc'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.rpartition('x') }}
{{ 'abc'.removeprefix('a') }}{{ 'abc'.removeprefix('x') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'.removesuffix('') }}
{{ '7'.zfill(3) }}{{ '-7'.zfill(4) }}{{ '+7'.zfill(4) }}{{ '1234'.zfill(3) }}{{ ''.zfill(2) }}
{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '-') }}|{{ 'a'.center(4) }}|{{ 'ab'.center(5, '*') }}|{{ 'é'.center(4, '.') }}|{{ 'a' | center(5) }}|
{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'abcab'.rstrip('ab') }}|{{ '\n a \t'.strip() }}|{{ 'a'.strip(none) }}|{{ '--a'.lstrip('-') }}|
{{ 'a b  c'.split() }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a b c'.split(maxsplit=1) }}{{ 'a b c'.split(none, 1) }}{{ ' a  b '.split(' ') }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a<b>c'.split('<b>')[-1] }}
{{ 'a,b,c'.rsplit(',', 1) }}{{ 'a b c '.rsplit(maxsplit=1) }}{{ 'a,b'.rsplit(',') }}{{ ' a b '.rsplit(none, 1) }}{{ ' a  b c '.split(none, 1) }}
{{ 'abc'.split('') }}
{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}{{ 'a\rb\x0bc'.splitlines() }}{{ ''.splitlines() }}
{{ 'hello wORLD it''s x1y'.title() }}{{ 'hELLO'.capitalize() }}{{ 'Ab'.swapcase() }}{{ 'Straße'.casefold() }}{{ 'é'.upper() }}{{ 'ÀB'.lower() }}
{{ 'abc'.startswith('a') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.startswith('b', 1) }}{{ 'abc'.endswith(('c',)) }}{{ 'abc'.endswith('b', 0, 2) }}{{ 'abc'.startswith('') }}{{ 'abc'.startswith(()) }}
{{ 'abcabc'.find('b') }}{{ 'abcabc'.find('b', 2) }}{{ 'abc'.find('x') }}{{ 'abcabc'.rfind('b') }}{{ 'abc'.index('c') }}{{ 'éa'.find('a') }}{{ 'aaa'.count('a') }}{{ 'aaa'.count('a', 1) }}{{ 'abc'.count('') }}{{ 'abcabc'.find('b', -2) }}
{{ 'abc'.index('x') }}
{{ 'aXbX'.replace('X', '-') }}{{ 'aXbX'.replace('X', '-', 1) }}{{ 'ab'.replace('', '.') }}{{ 'a' | replace('a', 'b') }}{{ 'aaa'.replace('a', 'b', 2) }}
{{ '12'.isdigit() }}{{ '1a'.isdigit() }}{{ ''.isdigit() }}{{ '²'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ 'a1'.isalnum() }}{{ 'ab'.isalpha() }}{{ ' \t'.isspace() }}{{ 'ab'.islower() }}{{ 'A1'.isupper() }}{{ 'Ab Cd'.istitle() }}{{ 'a_1'.isidentifier() }}{{ '1a'.isidentifier() }}{{ 'é'.isascii() }}{{ 'a\n'.isprintable() }}
{{ ','.join(['a', 'b']) }}{{ ''.join([]) }}{{ ', '.join(messages | map(attribute='role')) }}{{ 'a\tb'.expandtabs(4) }}
{{ [1, 2, 1].count(1) }}{{ ['a', 'b'].index('b') }}{{ [1, 2].copy() }}{{ 3.0.is_integer() }}
{{ [1].append(2) }}
{% set x = [] %}{{ x.append(1) }}
{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abc'[1:] }}{{ 'abc'[::-1] }}{{ 'abc'[9] is defined }}{{ 'héllo'[1] }}{{ 'abc' | first }}{{ 'abc' | last }}{{ 'abc' | length }}{{ 'abc' | list }}
{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ 'a b' | title }}|{{ 'ab' | capitalize }}|{{ 'A' | lower }}|{{ '3' | int }}|{{ 'x' | int(7) }}|{{ '1.5' | float }}|{{ 3.7 | int }}|{{ 2.567 | round(2) }}|{{ 2.5 | round }}|{{ -3 | abs }}|{{ 5 | string }}|{{ true | string }}|{{ none | string }}
{{ 'a\nb\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width=2, first=true, blank=true) }}|{{ 'a\nb' | indent('> ') }}
{{ '<a href="x">' | escape }}{{ '<b>' | e }}{{ '<b>' | safe }}{{ 'one two three' | wordcount }}{{ '<p>a  b</p>' | striptags }}{{ 'a long text here' | truncate(9) }}
{{ [1, 2, 3] | join('-') }}{{ [[1, 2], [3]] | sum(start=[]) }}{{ ['a', 'b'] | map('upper') | list }}{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | sum }}{{ [1, none] | select | list }}
{{ [1] | random }}
{{ range(3) | list }}{{ range(1, 7, 2) | list }}{{ range(3, 0, -1) | list }}{% for i in range(0) %}x{% else %}none{% endfor %}
{% macro say(a, b='x', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ say(1) }}{{ say(1, 2) }}{{ say(1, c=3) }}
{% macro each(x) %}{% for k in x %}[{{ k }}]{% endfor %}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ each([1]) }}{% call each([2]) %}body{% endcall %}
{% macro deep(n) %}{{ n }}{% if n > 0 %}{{ deep(n - 1) }}{% endif %}{% endmacro %}{{ deep(5) }}
{% macro kw() %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ kw(1, a=2) }}
{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x | length }}{% filter upper %}abc{% endfilter %}{% with y = 2 %}{{ y }}{% endwith %}{{ y }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ c }}{% endfor %}
{% for k, v in {'a': {'b': [1]}}.items() recursive %}{{ k }}{% if v is mapping %}{{ loop(v.items()) }}{% else %}{{ v }}{{ loop.depth }}{% endif %}{% endfor %}
{% if messages | length > 3 and (messages[0].role == 'system' or not tools) %}yes{% elif true %}no{% endif %}
{{ raise_exception('stop here') }}
{% if messages[0].role == 'tool' %}{{ raise_exception('x') }}{% endif %}fine
{{ strftime_now('%Y') | length }}{{ strftime_now('%d %b %Y') | length }}{{ strftime_now('%Y-%m-%d %H:%M:%S') | length }}{{ strftime_now is defined }}{{ strftime_now('%A, %B %-d') | length > 8 }}
{% set content = messages[2].content %}{% if '</think>' in content %}{{ content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|{{ content.split('</think>')[-1].lstrip('\n') }}{% endif %}
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 1) %}odd{% endif %}{% endfor %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '<|user|>\n' + m.content + eos_token }}
    {%- elif m.role == 'system' %}
        {{- '<|system|>\n' + m.content.strip() }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %}
  {% if true %}
  a
  {% endif %}
  {{ 'b' }}
 {#- c -#}
  d
{{ '\u00e9\x41\t\'\"' }}{{ "a\\nb" }}{{ '\u2581' }}
{{ {'a': 1}['a'] }}{{ {'a': {'b': 2}}.a.b }}{{ {'a': 1, 'a': 2} }}{{ messages[0].role.upper() }}{{ messages[0]['content'].strip() | length }}
{{ messages | length is divisibleby 2 }}{{ messages is defined and messages | length }}{{ 5 if messages else 6 }}{{ (messages | length) * 2 }}
{{ joiner(',')() }}{% set j = joiner(';') %}{{ j() }}a{{ j() }}b
{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}
{% set d = {'a': 1} %}{{ d.update({'b': 2}) }}
{% do messages.append(1) %}
{% for m in messages %}
{% unknown_tag %}
{{ messages[0].content | no_such_filter }}
{{ 'a'.no_such_method() }}
{{ no_such_function() }}
{{ 1 + 'a' }}
{{ 1 / 0 }}
""".strip("\n")


def templates():
    lines = TEMPLATES.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        length = 1
        if line == "{%- for m in messages %}":
            length = 10
        elif line == "  {% if true %}":
            length = 6
        yield "\n".join(lines[at : at + length])
        at += length
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
