"""Pieces of chat templates, one construct or a few in each: CONSTRUCTS goes through Jinja as
transformers sets it up, PYTHON through the values that it runs on. A line `----` stands between two
pieces.
"""

CONSTRUCTS = r"""
{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token }}{{ sep_token }}|
----
{% if tools is none %}none{% else %}some{% endif %}
----
{% if tools is not none %}some{% else %}none{% endif %}
----
{% if tools is defined and tools is not none %}some{% else %}none{% endif %}
----
{% if tools %}some{% else %}none{% endif %}{{ tools }}{{ documents }}
----
{% if documents is none %}none{% endif %}{% if documents is defined %}defined{% endif %}
----
{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools is none }}
----
{{ add_generation_prompt }}{{ enable_thinking is defined }}{{ date_string is defined }}
----
{{ messages[1]['content'] | tojson }}
----
{{ messages | tojson }}
----
{{ messages[0] | tojson(indent=2) }}
----
{{ messages | tojson(indent=4) }}
----
{{ messages | tojson(indent=0) }}
----
{{ messages[0] | tojson(indent='\t') }}
----
{{ messages | tojson(separators=(',', ':')) }}
----
{{ messages[1] | tojson(ensure_ascii=True) }}
----
{{ messages[1] | tojson(True, 1) }}
----
{{ {'b': 1, 'a': [1, 2.5, true, none, 'x'], 'c': {}, 'd': []} | tojson }}
----
{{ {'b': 1, 'a': [1, {'z': 1, 'y': 2}], 'c': {}, 'd': []} | tojson(indent=2, sort_keys=True) }}
----
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}
----
{{ [1e16, 1e15, 0.1, 1e-4, 1e-5, 1.0, 123456789.125, 1e300, 2.5e-7] | tojson }}
----
{{ [1, 10000000000000000000000, -5, true] | tojson }}
----
{{ {1: 'a', true: 'b', none: 'c', 2.5: 'd'} | tojson }}
----
{{ (1, 2) | tojson }}{{ 'x' | tojson }}{{ none | tojson }}{{ '' | tojson }}
----
{{ missing | tojson }}
----
{{ {'type': 'function', 'function': {'name': 'f', 'parameters': {'z': 1, 'b': {'y': 1, 'a': 2}}}} | tojson }}
----
{% set d = {'z': 1, 'b': 2, 'a': 3} %}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
----
{% set d = {'z': 1, 'b': 2, 'a': 3} %}{{ d.keys() | list }}{{ d.values() | list }}{{ d | list }}{{ d | length }}{{ d }}
----
{% set d = {'z': 1, 'b': 2} %}{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}{% for k, v in d | items %}{{ k }}{{ v }}{% endfor %}
----
{% set d = dict(z=1, a=2) %}{{ d.get('z') }}{{ d.get('q') }}{{ d.get('q', 'x') }}{{ d['a'] }}{{ d.a }}{{ 'z' in d }}{{ 'q' not in d }}
----
{% set d = dict({'a': 1}, b=2) %}{{ d }}{{ d.copy() }}
----
{% for m in messages %}{{ m }}{% endfor %}
----
{% for m in messages %}{{ m.content }}{% break %}{% endfor %}
----
{% for m in messages %}{% if m.role != 'user' %}{% continue %}{% endif %}{{ m.role }}{{ loop.index }}{% endfor %}
----
{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% else %}{{ m.role }}{% endif %}{% endfor %}
----
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{% else %}nobody{% endfor %}
----
{% for m in messages if m.role == 'tool' %}x{% else %}nobody{% endfor %}
----
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else 'start' }}>{{ loop.nextitem.role if not loop.last else 'end' }};{% endfor %}
----
{% for m in messages %}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }}{% endfor %}
----
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}
----
{%- for m in messages -%}{%- generation -%} {{ m.role }} {%- endgeneration -%}{%- endfor -%}
----
{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}
----
{% raw %}{% generation %}{{ x }}{% endraw %}{# {% generation %} #}{{ '{% generation %}' }}
----
{% set x = 0 %}{% for m in messages %}{% set x = x + 1 %}{% endfor %}{{ x }}
----
{% set ns = namespace(n=0, found=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.n }}{{ ns.found }}
----
{% set ns = namespace() %}{% set ns.x = messages[0] %}{{ ns.x.role }}{{ ns.y }}
----
{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] | trim %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ sys }}{{ rest | length }}
----
{% for m in messages[::-1] %}{{ m.role }}{% endfor %}{{ messages[-1].role }}{{ messages[-1:] | length }}{{ messages[1:3] | length }}{{ messages[:-1] | length }}{{ messages[::2] | length }}
----
{% for m in messages | reverse %}{{ m.role }}{% endfor %}{{ 'abc' | reverse }}
----
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(',') }}
----
{{ messages | map(attribute='role') | unique | list }}{{ messages | selectattr('content') | list | length }}{{ messages | selectattr('role', 'in', ['user']) | list | length }}
----
{{ (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}{{ (messages | last).role }}{{ (messages | first).role }}
----
{% for group in messages | groupby('role') %}{{ group.grouper }}{{ group.list | length }}{% endfor %}
----
{{ [1, 2, 3] | sum }}{{ [3, 1, 2] | sort }}{{ [3, 1, 2] | max }}{{ ['b', 'A'] | sort }}{{ [1, 2, 3] | select('odd') | list }}{{ [1, 2, 3, 4, 5] | batch(2) | list }}
----
{{ [1, 2] + [3] }}{{ [1, [2, 'x']] }}{{ (1, 2) }}{{ (1,) }}{{ [] }}{{ {} }}{{ [none, true, 1.0, 'it''s'] }}
----
{{ true }}{{ false }}{{ none }}{{ True }}{{ None }}{{ 1.0 }}{{ 1e3 }}{{ 7 // 2 }}{{ 7 / 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 2 ** 3 }}{{ 6 / 2 }}
----
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }}{{ 'a' * 3 }}{{ 'a' + 'b' }}{{ 'x' 'y' }}{{ "%05.2f" | format(3.14159) }}
----
{{ '{} {x}'.format('a', x=1) }}{{ '{:>5}|{:<5}|{:^5}|{:05d}'.format('a', 'b', 'c', 7) }}
----
{{ '%s-%d' % ('a', 3) }}
----
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ [1] == [1] }}{{ none == false }}{{ 'a' in 'cat' }}{{ 1 in [1] }}{{ not true or true and false }}
----
{{ messages[1].content is string }}{{ messages is string }}{{ messages is sequence }}{{ 'a' is sequence }}{{ {} is sequence }}{{ messages is iterable }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ messages[0] is mapping }}{{ [] is mapping }}
----
{{ 1 is number }}{{ 1.0 is number }}{{ true is number }}{{ 1 is integer }}{{ true is integer }}{{ 1.5 is float }}{{ true is boolean }}{{ none is none }}{{ x is defined }}{{ x is undefined }}{{ 'A' is upper }}{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is sameas 1 }}{{ true is true }}{{ 1 is true }}{{ 'a' is eq 'a' }}{{ 1 is in [1] }}
----
{{ x }}{{ x or 'd' }}{{ x | default('d') }}{{ '' | default('d', true) }}{{ none | default('d') }}{{ x is none }}{{ x == none }}{{ x | length }}{{ 'a' in x }}{% for y in x %}{% endfor %}
----
{{ x.y }}
----
{{ x is sequence }}{{ x is iterable }}{{ x is mapping }}{{ x is string }}{{ x is number }}
----
{{ messages[0].nothing }}{{ messages[0]['nothing'] is defined }}{{ messages[9] is defined }}{{ messages[0].tool_calls is defined and messages[0].tool_calls }}
----
{{ messages[9].role }}
----
{{ 'a' if false }}|{{ 'a' if true else 'b' }}|{{ ('a' if false else 'b') | upper }}
----
{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.partition('=')[2] }}{{ 'abc'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.rpartition('x') }}
----
{{ 'abc'.removeprefix('a') }}{{ 'abc'.removeprefix('x') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'.removesuffix('') }}
----
{{ '7'.zfill(3) }}{{ '-7'.zfill(4) }}{{ '+7'.zfill(4) }}{{ '1234'.zfill(3) }}{{ ''.zfill(2) }}
----
{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '-') }}|{{ 'a'.center(4) }}|{{ 'ab'.center(5, '*') }}|{{ 'é'.center(4, '.') }}|{{ 'a' | center(5) }}|
----
{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'abcab'.rstrip('ab') }}|{{ '\n a \t'.strip() }}|{{ 'a'.strip(none) }}|{{ '--a'.lstrip('-') }}|
----
{{ 'a b  c'.split() }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a b c'.split(maxsplit=1) }}{{ 'a b c'.split(none, 1) }}{{ ' a  b '.split(' ') }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a<b>c'.split('<b>')[-1] }}
----
{{ 'a,b,c'.rsplit(',', 1) }}{{ 'a b c '.rsplit(maxsplit=1) }}{{ 'a,b'.rsplit(',') }}{{ ' a b '.rsplit(none, 1) }}{{ ' a  b c '.split(none, 1) }}
----
{{ 'abc'.split('') }}
----
{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}{{ 'a\rb\x0bc'.splitlines() }}{{ ''.splitlines() }}
----
{{ 'hello wORLD it''s x1y'.title() }}{{ 'hELLO'.capitalize() }}{{ 'Ab'.swapcase() }}{{ 'Straße'.casefold() }}{{ 'é'.upper() }}{{ 'ÀB'.lower() }}
----
{{ 'abc'.startswith('a') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.startswith('b', 1) }}{{ 'abc'.endswith(('c',)) }}{{ 'abc'.endswith('b', 0, 2) }}{{ 'abc'.startswith('') }}{{ 'abc'.startswith(()) }}
----
{{ 'abcabc'.find('b') }}{{ 'abcabc'.find('b', 2) }}{{ 'abc'.find('x') }}{{ 'abcabc'.rfind('b') }}{{ 'abc'.index('c') }}{{ 'éa'.find('a') }}{{ 'aaa'.count('a') }}{{ 'aaa'.count('a', 1) }}{{ 'abc'.count('') }}{{ 'abcabc'.find('b', -2) }}
----
{{ 'abc'.index('x') }}
----
{{ 'aXbX'.replace('X', '-') }}{{ 'aXbX'.replace('X', '-', 1) }}{{ 'ab'.replace('', '.') }}{{ 'a' | replace('a', 'b') }}{{ 'aaa'.replace('a', 'b', 2) }}
----
{{ '12'.isdigit() }}{{ '1a'.isdigit() }}{{ ''.isdigit() }}{{ '²'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ 'a1'.isalnum() }}{{ 'ab'.isalpha() }}{{ ' \t'.isspace() }}{{ 'ab'.islower() }}{{ 'A1'.isupper() }}{{ 'Ab Cd'.istitle() }}{{ 'a_1'.isidentifier() }}{{ '1a'.isidentifier() }}{{ 'é'.isascii() }}{{ 'a\n'.isprintable() }}
----
{{ ','.join(['a', 'b']) }}{{ ''.join([]) }}{{ ', '.join(messages | map(attribute='role')) }}{{ 'a\tb'.expandtabs(4) }}
----
{{ [1, 2, 1].count(1) }}{{ ['a', 'b'].index('b') }}{{ [1, 2].copy() }}{{ 3.0.is_integer() }}
----
{{ [1].append(2) }}
----
{% set x = [] %}{{ x.append(1) }}
----
{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abc'[1:] }}{{ 'abc'[::-1] }}{{ 'abc'[9] is defined }}{{ 'héllo'[1] }}{{ 'abc' | first }}{{ 'abc' | last }}{{ 'abc' | length }}{{ 'abc' | list }}
----
{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}|{{ 'a b' | title }}|{{ 'ab' | capitalize }}|{{ 'A' | lower }}|{{ '3' | int }}|{{ 'x' | int(7) }}|{{ '1.5' | float }}|{{ 3.7 | int }}|{{ 2.567 | round(2) }}|{{ 2.5 | round }}|{{ -3 | abs }}|{{ 5 | string }}|{{ true | string }}|{{ none | string }}
----
{{ 'a\nb\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width=2, first=true, blank=true) }}|{{ 'a\nb' | indent('> ') }}
----
{{ '<a href="x">' | escape }}{{ '<b>' | e }}{{ '<b>' | safe }}{{ 'one two three' | wordcount }}{{ '<p>a  b</p>' | striptags }}{{ 'a long text here' | truncate(9) }}
----
{{ [1, 2, 3] | join('-') }}{{ [[1, 2], [3]] | sum(start=[]) }}{{ ['a', 'b'] | map('upper') | list }}{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | sum }}{{ [1, none] | select | list }}
----
{{ [1] | random }}
----
{{ range(3) | list }}{{ range(1, 7, 2) | list }}{{ range(3, 0, -1) | list }}{% for i in range(0) %}x{% else %}none{% endfor %}
----
{% macro say(a, b='x', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ say(1) }}{{ say(1, 2) }}{{ say(1, c=3) }}
----
{% macro each(x) %}{% for k in x %}[{{ k }}]{% endfor %}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ each([1]) }}{% call each([2]) %}body{% endcall %}
----
{% macro deep(n) %}{{ n }}{% if n > 0 %}{{ deep(n - 1) }}{% endif %}{% endmacro %}{{ deep(5) }}
----
{% macro kw() %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ kw(1, a=2) }}
----
{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x | length }}{% filter upper %}abc{% endfilter %}{% with y = 2 %}{{ y }}{% endwith %}{{ y }}
----
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ c }}{% endfor %}
----
{% for k, v in {'a': {'b': [1]}}.items() recursive %}{{ k }}{% if v is mapping %}{{ loop(v.items()) }}{% else %}{{ v }}{{ loop.depth }}{% endif %}{% endfor %}
----
{% if messages | length > 3 and (messages[0].role == 'system' or not tools) %}yes{% elif true %}no{% endif %}
----
{{ raise_exception('stop here') }}
----
{% if messages[0].role == 'tool' %}{{ raise_exception('x') }}{% endif %}fine
----
{{ strftime_now('%Y') | length }}{{ strftime_now('%d %b %Y') | length }}{{ strftime_now('%Y-%m-%d %H:%M:%S') | length }}{{ strftime_now is defined }}{{ strftime_now('%A, %B %-d') | length > 8 }}
----
{% set content = messages[2].content %}{% if '</think>' in content %}{{ content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|{{ content.split('</think>')[-1].lstrip('\n') }}{% endif %}
----
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 1) %}odd{% endif %}{% endfor %}
----
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
----
  {% if true %}
  a
  {% endif %}
  {{ 'b' }}
 {#- c -#}
  d
----
{{ '\u00e9\x41\t\'\"' }}{{ "a\\nb" }}{{ '\u2581' }}
----
{{ {'a': 1}['a'] }}{{ {'a': {'b': 2}}.a.b }}{{ {'a': 1, 'a': 2} }}{{ messages[0].role.upper() }}{{ messages[0]['content'].strip() | length }}
----
{{ messages | length is divisibleby 2 }}{{ messages is defined and messages | length }}{{ 5 if messages else 6 }}{{ (messages | length) * 2 }}
----
{{ joiner(',')() }}{% set j = joiner(';') %}{{ j() }}a{{ j() }}b
----
{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}
----
{% set d = {'a': 1} %}{{ d.update({'b': 2}) }}
----
{% do messages.append(1) %}
----
{% for m in messages %}
----
{% unknown_tag %}
----
{{ messages[0].content | no_such_filter }}
----
{{ 'a'.no_such_method() }}
----
{{ no_such_function() }}
----
{{ 1 + 'a' }}
----
{{ 1 / 0 }}
"""

PYTHON = r"""
{{ 1e-7 }}|{{ 1e22 }}|{{ 1e16 }}|{{ 1e15 }}|{{ 123456789012345678.0 }}|{{ 0.0001 }}|{{ 0.00001 }}|{{ -0.0 }}|{{ 1.0 }}|{{ 1.5e300 }}
----
{{ [1e16, -0.0, 1e-7, 0.1] }}{{ {'a': 1e22} }}{{ (2.5e-8,) }}
----
{{ 1e22 ~ '' }}{{ 1e-7 | string }}{{ [1e22] | join }}{{ '%s' % 1e22 }}{{ '{}'.format(1e-7) }}{{ 1e22 | tojson }}{{ 1e16 | upper }}
----
{{ 0.1 + 0.2 }}{{ 1 / 3 }}{{ 10 / 2 }}{{ 7 // 2.0 }}{{ 1e308 * 10 }}{{ -1e308 * 10 }}{{ 2 ** 0.5 }}{{ 2 ** -1 }}
----
{{ ('<b>' | escape) + '<i>' }}{{ '<i>' + ('<b>' | e) }}{{ ('<b>' | e) ~ '<i>' }}{{ ('<b>' | safe) + '<i>' }}
----
{{ ('<b>%s</b>' | safe) % '<i>' }}{{ ('<b>{}</b>' | safe).format('<i>') }}{{ ('-' | safe).join(['<', '>']) }}{{ ('a' | safe).replace('a', '<') }}
----
{{ ('<b>' | e) | e }}{{ ('<b>' | e) | forceescape }}{{ ('<b>' | e).upper() }}{{ ['<' | e] }}{{ ('a b' | safe).split() }}{{ ('<' | e) is escaped }}{{ ('<' | e) == '&lt;' }}
----
{{ {'a': 1}.items() }}{{ {'a': 1}.keys() }}{{ {'a': 1}.values() }}{{ {}.items() }}{{ range(3) }}{{ range(1, 7, 2) }}{{ range(0) }}
----
{{ {'a': 1}.items() | list }}{{ {'b': 1, 'a': 2}.keys() | sort }}{{ {'a': 1}.values() | sum }}{{ {'a': 1}.items() | length }}{{ 'a' in {'a': 1}.keys() }}{{ ('a', 1) in {'a': 1}.items() }}
----
{{ {'a': 1}.keys() == {'a': 2}.keys() }}{{ {'a': 1}.items() == {'a': 1}.items() }}{{ {'a': 1}.keys()[0] is defined }}{{ range(9)[2:5] }}{{ range(9)[-1] }}{{ 3 in range(9) }}
----
{{ {'x': 1} | attr('x') }}|{{ {'x': 1} | attr('x') is defined }}|{{ ({'x': 1} | attr('items'))() }}|{{ 'a' | attr('upper') is defined }}
----
{{ 'abc'[1.0] }}|{{ 'abc'[1.0] is defined }}|{{ [1][1.0] is defined }}|{{ {1: 'a'}[1.0] }}|{{ [1, 2][true] }}|{{ 'abc'['upper']() }}
----
{{ [1, 'a', none] | pprint }}{{ {'b': 1, 'a': [2.0]} | pprint }}{{ 'it''s' | pprint }}
----
{{ ['\u200b', '\xad', '\u3000', '\ue000', '\x00\x1f\x7f', '\u2028', 'é日😀', '\U000e0001'] }}
----
{{ ['it\'s', 'say "x"', 'both \' and "', 'back\\slash', '\ttab\r\n'] }}{{ {'\u200b': '\u200b'} }}{{ '\u200b' }}
----
{{ '\N{BULLET}' }}
----
{{ '\a\b\f\v\101\60' | tojson }}{{ '\q\d' }}{{ 'a\
b' }}{{ '\x41\u0042\U00000043' }}
----
{{ '\x4' }}
----
{{ 'ǆ ǉ ǌ ǳ ß ﬁ ﬀx'.title() }}|{{ 'ǆ'.capitalize() }}|{{ 'ß' | capitalize }}|{{ 'ßa' | title }}|{{ 'ǆa' | title }}|{{ 'ა ბ'.title() }}|{{ 'ᾳ ᾼ'.title() }}
----
{{ 'they''re bill''s x1y 日a'.title() }}{{ 'they\'re x1y a-b (c d' | title }}{{ 'ΑΣ ΣΑΣ'.lower() }}{{ 'ΑΣ ΣΑΣ'.title() }}{{ 'ΑΣ'.capitalize() }}
----
{{ 'Straße ﬁ ς İ ẞ'.casefold() }}|{{ 'aBß'.swapcase() }}|{{ 'İ'.lower() | length }}|{{ 'ŉ'.upper() }}
----
{{ 'ǅ'.istitle() }}{{ 'ǅ'.isupper() }}{{ 'A日'.isupper() }}{{ '日'.isupper() }}{{ '日'.isalpha() }}{{ 'नि'.isalpha() }}{{ 'Ⅷ'.isalpha() }}{{ '٣'.isdigit() }}{{ '٣' | int }}{{ '①'.isdigit() }}{{ '①'.isdecimal() }}{{ '四'.isnumeric() }}
----
{{ self }}{% block a %}x{% endblock %}{{ self.a() }}{{ self.b is defined }}
----
{{ lipsum(1) | length > 0 }}
----
{{ namespace(a=1, b='x') }}{{ namespace() }}{{ namespace({'a': 1.0}) }}{{ namespace({'a': 1}, b=2) }}{{ namespace([['a', 1]]).a }}
----
{% for m in messages %}{{ loop }}{% if loop.last %}{{ loop.length }}{{ loop | length }}{% endif %}{% endfor %}
----
{% macro m(a) %}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}
----
{{ 'a' < 1 }}
----
{{ [1] < ['a'] }}
----
{{ none < 1 }}
----
{{ {} > {} }}
----
{{ 1 < 2.5 }}{{ [1, 2] < [1, 3] }}{{ (1,) < (1, 2) }}{{ true < 2 }}{{ 'a' <= 'a' }}{{ 'Z' < 'a' }}{{ 1e400 > 10 ** 30 }}{{ 2 ** 53 + 1 == 2.0 ** 53 }}
----
{{ ['a', 'b'] | sum(start='') }}
----
{{ [1, 2.5] | sum(start=1) }}{{ [] | sum }}{{ [(1,), (2,)] | sum(start=()) }}{{ [{'a': {'b': 2}}] | sum(attribute='a.b') }}
----
{% include 'a' ignore missing %}
----
{% include 'a' %}
----
{% import 'a' as b %}
----
{% from 'a' import b %}
----
{% extends 'a' %}
----
{% if false %}{% include 'a' %}{% import 'a' as b %}{% extends 'c' %}{% endif %}fine
----
{{ {'b': 1, 'A': 2, 'c': 0} | dictsort }}{{ {'b': 1, 'A': 2} | dictsort(true) }}{{ {'b': 1, 'A': 2} | dictsort(reverse=true) }}{{ {'b': 1, 'A': 2, 'c': 0} | dictsort(by='value') }}{{ {'b': 1} | dictsort(false, 'value', true) }}{{ {'b': 1, 'A': 2} | dictsort(case_sensitive=true) }}
----
{{ {'b': 1} | dictsort(by='x') }}
----
{{ {'b': 1, 2: 3} | dictsort }}
----
{{ ['a', 'A', 'b'] | unique | list }}{{ ['a', 'A', 'b'] | unique(true) | list }}{{ ['a', 'A'] | unique(case_sensitive=true) | list }}{{ messages | unique(attribute='role') | map(attribute='content') | list | length }}{{ [1, 1.0, true] | unique | list }}
----
{{ 'a b/c?d=é&+~' | urlencode }}{{ {'a b': 'c/d', 'e': 1} | urlencode }}{{ [('a', 'b c'), ('d', 2)] | urlencode }}{{ 5 | urlencode }}
----
{{ 'see https://a.b' | urlize }}
----
{{ 'The quick brown fox jumps over the lazy dog' | wordwrap(10) }}|{{ 'a well-known long-winded self-test' | wordwrap(8) }}|{{ 'Supercalifragilistic' | wordwrap(6) }}|{{ 'Supercalifragilistic x' | wordwrap(6, false) }}|{{ 'a b c' | wordwrap(3, wrapstring='<br>') }}|{{ 'a b\n\nc d' | wordwrap(2) }}|{{ 'x--y foo -- bar' | wordwrap(4) }}
----
{{ 'aa-bb cc-dd' | wordwrap(4, break_on_hyphens=false) }}|{{ '  two  gaps   here' | wordwrap(6) }}|{{ 'a-b-c-d-e-f' | wordwrap(4) }}|{{ '' | wordwrap }}
----
{{ 'a' | wordwrap(0) }}
----
{{ '' | default('x', boolean=true) }}{{ '' | d('x', true) }}{{ missing | d }}|{{ missing | d('y') }}{{ 0 | default(5) }}{{ 0 | default(5, true) }}{{ missing | default(default_value='z') }}
----
{{ +1 }}{{ +1.5 }}{{ 2 + +3 }}{{ 2 - -3 }}{{ +true }}{{ - -1 }}{{ -1 | abs }}{{ -2 ** 2 }}{{ 2 ** 3 ** 2 }}{{ not 1 == 2 }}
----
{{ +'a' }}
----
{{ -[] }}
----
{{ dict([('a', 1), ('b', 2)]) }}{{ dict([['a', 1]], b=3) }}{{ dict({'a': 1}.items()) }}{{ dict() }}{{ dict(['ab']) }}{{ dict.fromkeys is defined }}
----
{{ dict([1]) }}
----
{{ dict([(1, 2, 3)]) }}
----
{{ '{!r} {!s} {!a}'.format('é', 'é', 'é') }}{{ '{a[0]}{a[1]}'.format(a=[1, 2]) }}{{ '{a.b}{a[b]}'.format(a={'b': 5}) }}{{ '{0[x]}'.format({'x': 1}) }}{{ '{:{}}|{:>{w}}'.format('a', 3, 'b', w=4) }}
----
{{ '{{}} {{{}}}'.format(1) }}{{ '{1}{0}{1}'.format('a', 'b') }}{{ '{x}'.format(**{'x': 1}) }}{{ '{}'.format(*[1]) }}{{ '{x}'.format_map({'x': 1}) }}
----
{{ '{:d} {:5d}|{:<5d}|{:^5d}|{:+d}|{: d}|{:05d}|{:x}|{:X}|{:#x}|{:o}|{:b}|{:#b}|{:c}|{:,}|{:_}'.format(1, 2, 3, 4, 5, 6, -7, 255, 255, 255, 8, 5, 5, 65, 1234567, 1234567) }}
----
{{ '{:f} {:.2f} {:e} {:.1e} {:g} {:g} {:g} {:%} {:.1%} {:10.3f}|{:+.1f} {:,.2f} {:08.2f} {:.0f} {:.0f} {}'.format(1.5, 2.345, 1.5, 12345.6, 0.0001, 1e-5, 1e20, 0.25, 0.5, 3.14159, 2.0, 1234567.891, -3.14159, 0.5, 1.5, 1e16) }}
----
{{ '{:.3}|{:>5}|{:*^7}|{:5}|{:<5}|{:.2}|{:.3}|{:.1}'.format('abcdef', 'a', 'b', 'c', 'd', 3.14159, 1234.5, 0.05) }}{{ '{:5}|{:>3}'.format(true, 7) }}{{ '{}{}'.format(none, missing) }}
----
{{ '{} {0}'.format(1) }}
----
{{ '{}'.format() }}
----
{{ '{x}'.format(y=1) }}
----
{{ '{:d}'.format('a') }}
----
{{ '{:z}'.format([1]) }}
----
{{ '{0.__class__}'.format('a') }}{{ '{'.format() }}
----
{{ 'é'.encode() }}
----
{{ 'abc'.translate({97: 'x', 98: none, 99: 100}) }}{{ 'abc'.translate(''.maketrans('ab', 'xy', 'c')) }}{{ 'abc'.translate(''.maketrans({'a': 'long'})) }}
----
{{ '%s' % 'x' }}{{ '%s %s' % (1, 'b') }}{{ '%d%%' % 5 }}{{ '%(a)s-%(b)d' % {'a': 1, 'b': 2} }}{{ '%s' % [1] }}{{ '%r' % 'it' }}{{ '%5s|%-5s|%05d|%+d|%.2f|%x|%X|%o|%e|%g|%c|%c' % ('a', 'b', 3, 4, 2.345, 255, 255, 8, 1.5, 0.0001, 65, 'z') }}
----
{{ '%*d|%.*f|%#x|%-+5d|% d|%i|%5.1f|%.3s|%a' % (4, 7, 2, 3.14159, 255, 3, 4, 5.9, 2.25, 'abcdef', 'é') }}
----
{{ '%s' % (1, 2) }}
----
{{ '%s %s' % 1 }}
----
{{ '%d' % 'a' }}
----
{{ 'no' % 1 }}
----
{{ 'no' % [] }}{{ 'no' % {} }}{{ '%s' % none }}{{ '%s' % missing }}{{ '%s' | format(1.0) }}{{ '%(a)s' | format(a=1) }}{{ '%s-%s' | format('a', 2) }}
----
{{ 'abc' | upper(1) }}
----
{{ 1 | length }}
----
{{ none | join }}
----
{{ [1, 'a'] | sort }}
----
{{ [3, none] | max }}
----
{{ 'x' | round }}
----
{{ {} | first }}|{{ [] | last }}|{{ '' | first }}|{{ {'a': 1} | first }}|{{ {'a': 1, 'b': 2} | last }}|{{ range(4) | last }}|{{ [] | min is defined }}|{{ ['b', 'A'] | min }}{{ ['b', 'A'] | max }}{{ ['b', 'A'] | min(case_sensitive=true) }}
----
{{ '12' | int }}{{ ' 12 ' | int }}{{ '1_000' | int }}{{ '0x1f' | int(base=16) }}{{ '1f' | int(0, 16) }}{{ '12.7' | int }}{{ 'x' | int(-1) }}{{ 1e3 | int }}{{ -1.7 | int }}{{ true | int }}{{ none | int }}{{ '1e3' | int }}{{ '' | int }}
----
{{ '1.5' | float }}{{ '1e-7' | float }}{{ 'inf' | float }}{{ 'x' | float }}{{ 'x' | float(2) }}{{ 3 | float }}{{ '-0' | float }}{{ 'nan' | float }}{{ '1_0.5' | float }}
----
{{ 2.5 | round }}{{ 3.5 | round }}{{ 2.675 | round(2) }}{{ 1234 | round(-2) }}{{ 1250 | round(-2) }}{{ 7 | round }}{{ 2.1 | round(0, 'ceil') }}{{ 2.19 | round(1, 'floor') }}{{ 1e20 | round }}{{ -0.4 | round }}
----
{{ 1000 | filesizeformat }}{{ 1 | filesizeformat }}{{ 999 | filesizeformat }}{{ 1536 | filesizeformat(true) }}{{ 1e7 | filesizeformat }}{{ {'class': 'a b', 'id': none, 'x': '<'} | xmlattr }}
----
{{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }}{{ [1, 2, 3, 4, 5] | slice(2) | list }}{{ [1, 2, 3] | slice(2, 'x') | list }}{{ [] | batch(2) | list }}
----
{% set g = messages | map(attribute='role') %}{{ g | list }}{{ g | list }}{{ g is iterable }}{{ g is sequence }}
----
{{ messages | map(attribute='role') | length }}
----
{{ messages | map(attribute='role') | string | length > 40 }}
----
{{ 'abc'.upper | string | length > 20 }}
----
{{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}{{ [{'a': {'b': [1, 2]}}] | map(attribute='a.b.1') | list }}{{ ['a', 'b'] | map('replace', 'a', 'x') | list }}{{ [1, 2, 3, 4] | select('gt', 2) | list }}{{ [1, 2, 3] | reject('in', [1, 3]) | list }}{{ [0, 1, ''] | reject | list }}{{ none | map('upper') | list }}
----
{{ messages | groupby('role') | map(attribute='list') | map('length') | list }}{{ (messages | groupby('role'))[0][0] }}{{ [{'a': 'B'}, {'a': 'b'}] | groupby('a') | map('first') | list }}{{ [{}] | groupby('a', default='z') | map(attribute='grouper') | list }}
----
{{ 'a'.join('bc') }}{{ ','.join({'a': 1, 'b': 2}) }}{{ ','.join([]) }}{{ [1, none, 'x', 2.0] | join(',') }}{{ messages | join('|', attribute='role') }}
----
{{ [{'a': 1, 'b': 'x'}, {'a': 2}] | groupby('a') }}{{ ([{'a': 1}] | groupby('a'))[0] }}{% for a, items in [{'a': 1}, {'a': 2}] | groupby('a') %}{{ a }}{{ items }}{% endfor %}{% for g in [{'a': 1}] | groupby('a') %}{{ g.grouper }}{{ g.list }}{{ g.list[0].a }}{{ g[-1] }}{{ g | tojson }}{{ g | length }}{{ g == (1, [{'a': 1}]) }}{{ g is sequence }}{{ g + (3,) }}{% endfor %}
----
{{ ','.join([1]) }}
----
{{ 'a' + 1 }}
----
{{ [1] + (2,) }}
----
{{ missing + 1 }}
----
{{ 'a' ~ missing ~ 1 }}{{ [missing] }}{{ missing is callable }}{{ missing == other }}{{ missing in [1] }}{{ {missing: 1}[other] }}
----
{{ 5 in 'abc' }}
----
{{ 1 in 5 }}
----
{{ {[1]: 2} }}
----
{{ [1, 2, 3][none:2] }}{{ 'abcdef'[1:5:2] }}{{ 'abc'[-100:100] }}{{ (1, 2, 3)[1:] }}{{ [1, 2, 3][::-2] }}{{ [1][5] is defined }}{{ {'a': 1}['b'] is defined }}
----
{% set d = {} %}{{ d[1:2] }}
----
{% set l = [1] %}{{ l['a':] }}
----
{{ tools[1:] }}
----
{{ [1].append is defined }}{{ [1].append }}|{{ {}.update is defined }}|{{ {}.pop }}|{{ 'a'.__class__ }}|{{ 'a'.__class__ is defined }}|{{ {}.clear }}
----
{{ 'a'.__class__.__mro__ }}
----
{{ {}.setdefault('a', 1) }}
----
{{ {'items': 1}.items is callable }}{{ range | string | length > 3 }}
----
{{ {'items': 1}['items'] }}{{ {'keys': 2}['keys'] }}{{ {'a': 1}['keys']() | list }}{{ {'_x': 1}._x }}{{ {'a': 1}.get('b', 'c') }}{{ {'get': 1}.get('get') }}
----
{{ (1).real }}{{ 1.5.imag }}{{ 7.bit_length() }}{{ true.numerator }}{{ 2.5.is_integer() }}{{ (-5).bit_count() }}
----
{% set ns = namespace(_x=1) %}
----
{% set ns = namespace(x=1) %}{% set ns._x = 1 %}
----
{% set d = {} %}{% set d.x = 1 %}
----
{% set ns = namespace(x=[1]) %}{% for i in [2, 3] %}{% set ns.x = ns.x + [i] %}{% endfor %}{{ ns.x }}{{ ns['x'] }}{{ ns.y is defined }}{{ 'x' in ns }}
----
{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}{% set (c, d), e = (1, 2), 3 %}{{ c }}{{ d }}{{ e }}
----
{% set a, b = [1] %}
----
{% set a, b = 1, 2, 3 %}
----
{% macro m(a, b=2, *c) %}{% endmacro %}
----
{% macro m(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, 4) }}{{ m(1, z=5) }}{{ m(b=1, a=2) }}{{ m() }}
----
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
----
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}
----
{% macro m(a) %}[{{ a is defined }}{{ caller is defined }}]{% endmacro %}{{ m() }}{% call m(1) %}x{% endcall %}
----
{% macro each(items) %}{% for i in items %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(item, n=0) each(['a', 'b']) %}<{{ n }}{{ item }}>{% endcall %}
----
{% macro outer() %}{{ inner() }}{% endmacro %}{% macro inner() %}{{ later }}{% endmacro %}{% set later = 'L' %}{{ outer() }}
----
{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}
----
{% for i in [1, 2] %}{% set x = i %}{% endfor %}{{ x is defined }}{% if true %}{% set y = 1 %}{% endif %}{{ y }}{% with %}{% set z = 1 %}{% endwith %}{{ z is defined }}
----
{% set x = 'a' %}{% for i in [1, 2] %}{{ x }}{% set x = x ~ i %}{{ x }}{% endfor %}{{ x }}
----
{% set x | upper | replace('A', 'b') %}aa{{ 1 }}{% endset %}{{ x }}{% filter upper | trim %} a {% endfilter %}
----
{% with a = 1, b = a is defined %}{{ a }}{{ b }}{% endwith %}{% with a, b = (1, 2) %}{{ a }}{% endwith %}
----
{% for a in [[1, [2]], [3]] recursive %}{{ loop.depth }}{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}{% endif %}{% endfor %}
----
{% for a in [1, 2] %}{{ loop([3]) }}{% endfor %}
----
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %},{% endif %}{% endfor %}
----
{% for x in [] %}a{% else %}b{% for y in [1] %}c{% break %}{% endfor %}{% endfor %}{% for x in none or [] %}{% else %}d{% endfor %}
----
{% for x in none %}a{% endfor %}
----
{% for x in 5 %}a{% endfor %}
----
{% for c in 'añ' %}{{ c }}.{% endfor %}{% for a, b in ['xy', 'zw'] %}{{ b }}{% endfor %}{% for k in {'a': 1} %}{{ k }}{% endfor %}
----
{% for a, b in [1, 2] %}{% endfor %}
----
{% break %}
----
{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
----
{% block a %}{% block b %}in{% endblock %}{% endblock b %}
----
{% block a %}1{% endblock %}{% block a %}2{% endblock %}
----
{% set v = 'top' %}{% for i in [1] %}{% set w = 'loop' %}{% block a %}{{ v }}{{ w is defined }}{{ i is defined }}{% endblock %}{% block b scoped %}{{ w }}{{ i }}{% endblock %}{% endfor %}
----
{% if true: %}a{% endif %}{% print 1 + 1 %}{% print 'a', 'b' %}
----
{% if missing.x %}a{% endif %}
----
{{ 1 if true else missing.x }}{{ (1 if false) is defined }}{{ 1 if false else 2 if false else 3 }}{{ [1 if true else 2, 3] }}
----
{{ 'a' if x is undefined and y is not defined else 'b' }}{{ 1 is not none and 2 }}{{ not 1 in [2] }}{{ 1 not in [2] }}{{ 'a' is in 'abc' }}{{ 3 is divisibleby(3) }}{{ 3 is not divisibleby 2 }}
----
{{ 1 is string is string }}
----
{{ 1 is nosuchtest }}
----
{% if false %}{{ 1 is nosuchtest }}{{ 1 | nosuchfilter }}{% endif %}fine
----
{% if true %}{{ 1 | nosuchfilter }}{% endif %}
----
{{ 1 if true else (2 | nosuchfilter) }}
----
{% for x in [] %}{{ x | nosuchfilter }}{% endfor %}
----
{{ 'upper' is filter }}{{ 'nosuch' is filter }}{{ 'odd' is test }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is lower }}{{ 2 is even }}{{ 1.5 is odd }}{{ 1 is eq 1.0 }}{{ 1 is lt 2 }}{{ [1] is sameas [1] }}
----
{{ 'a' is odd }}
----
{{ loop is defined }}{{ caller is defined }}{{ varargs is defined }}{{ range is callable }}{{ namespace is defined }}{{ cycler is callable }}{{ true is number }}
----
{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}{% set j = joiner() %}{{ j() }}{{ j() }}{{ j.sep }}
----
{{ cycler() }}
----
{{ [1] | map('upper') | join | upper if 'a'.upper | string }}
----
{% autoescape true %}{{ '<b>' }}{% endautoescape %}
----
{{ 2 ** 200 }}
----
{{ range(200000) }}
----
{{ range(3, 0) | list }}{{ range(1, 2, 0) }}
----
{{ 0b101 }}{{ 0o17 }}{{ 0xff }}{{ 1_000 }}{{ 1_0.5_0 }}{{ 00 }}{{ 1.5.real }}{{ [[1, 2], 3].0.1 }}{{ 1e+3 }}{{ 1E-2 }}
----
{{ 012 }}
----
{{ 'a' 'b' "c" }}{{ ('a'
'b') }}{{ [1, 2,] }}{{ {'a': 1,} }}{{ (1,) }}{{ 1, 2 }}{{ () }}{{ [] | length, 5 }}
----
{{ {'a': 1}|length }}{{-1}}|{{- 'x' -}} | {{+1}}|{%- if 1 -%} y {%- endif -%} |{{ {'a': {'b': 1}}['a']['b'] }}}}
----
a {#- b -#} c {# d +#}
e {#+ f #}
g
----
    {%+ if true %}kept{% endif +%}
after {% raw -%}  {{ raw }} {%- endraw %}
 end
----
  {% raw %}
 {{ x }}
  {% endraw %}
tail
----
{{ 'unfinished
----
{{ (1 }}
----
{{ 1) }}
----
{% if %}a{% endif %}
----
{% if 1 %}a
----
{% endif %}
----
{% for x in y %}{% endif %}
----
{# never ends
----
{% raw %} never ends
----
{{ a b }}
----
{{ 1 + }}
----
{{ f(a=1, 2) }}
----
{{ $ }}
----
{% set 5 = x %}
----
{% set true = 1 %}
----
{{ messages | tojson(indent=2, sort_keys=true, separators=(',', '=')) }}{{ {'b': none, 'a': [1, {'c': ()}]} | tojson(indent=1) }}{{ {2: 1, 1.5: 2, true: 3} | tojson }}{{ '\u2028\x7f\\"/<>&' | tojson }}
----
{{ {(1, 2): 3} | tojson }}
----
{{ [missing] | tojson }}
----
{{ range(3) | tojson }}
----
{{ {'a': 1}.items() | tojson }}
----
{{ {'b': 1, 2: 1} | tojson(sort_keys=true) }}
----
{{ 'a\n\n b\n' | indent(2) }}|{{ 'a\r\nb' | indent }}|{{ '' | indent(first=true) }}|{{ 'a b c d e f' | truncate(5, leeway=0) }}|{{ 'abcdefgh' | truncate(6, true, '..', 0) }}|{{ 'abc def' | truncate(5, false, '', 0) }}|{{ 'ab' | center(7) }}|
----
{{ 5 | indent }}
----
{{ 'abc' | truncate(1) }}
----
{{ '<p class="x">a &amp; b</p> <!-- c --> d &#65;&lt;' | striptags }}{{ 'a_b c-d é' | wordcount }}{{ 'aXbXc' | replace('X', '', 1) }}{{ 5 | replace(5, 6) }}{{ none | upper }}{{ 1.0 | string }}
----
{{ raise_exception('only ' ~ messages | length) }}
----
{{ raise_exception() }}
----
{{ strftime_now('%d') | length }}{{ strftime_now('%H:%M') | length }}{{ strftime_now('plain') }}{{ strftime_now('%Y') | int > 2000 }}
"""
