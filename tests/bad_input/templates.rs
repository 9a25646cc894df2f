//! Chat templates, which are programs.

use crate::configurations::{RUN, folder};
use crate::harness::{Case, Expected, hole, pipe};

const READER: &str = "chat template";

/// The model with another template.
fn with(name: &str, template: String) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        std::fs::write(at.join("chat_template.jinja"), &template).unwrap();
    })
    .naming("chat template")
}

pub fn cases(cases: &mut Vec<Case>) {
    let deep = |before: &str, after: &str, times: usize| {
        format!("{{{{ {}1{} }}}}", before.repeat(times), after.repeat(times))
    };
    for (name, template) in [
        ("a loop of loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}".to_owned()),
        ("a text that doubles", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}".to_owned()),
        ("a list that doubles", "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}".to_owned()),
        ("a text times a number", "{{ 'a' * 99999999999 }}".to_owned()),
        ("a list times a number", "{{ ([1] * 99999999999) | length }}".to_owned()),
        ("a range without end", "{{ range(99999999999) | list }}".to_owned()),
        ("indent", "{{ 'a\nb' | indent(99999999999) }}".to_owned()),
        ("center", "{{ 'a' | center(99999999999) }}".to_owned()),
        ("ljust", "{{ 'a'.ljust(99999999999) }}".to_owned()),
        ("a format of a wide number", "{{ '%999999999999d' | format(1) }}".to_owned()),
        ("a replacement that grows", "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', 'aaaaaaaa') %}{% endfor %}{{ ns.x }}".to_owned()),
        ("a join that grows", "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | join(ns.x) %}{% endfor %}{{ ns.x }}".to_owned()),
        ("a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned()),
        ("a power without end", "{{ 9 ** 999999999 }}".to_owned()),
        ("a division by zero", "{{ 1 // 0 }}".to_owned()),
        ("brackets 60,000 deep", deep("(", ")", 60_000)),
        ("lists 60,000 deep", deep("[", "]", 60_000)),
        ("attributes 50,000 deep", format!("{{{{ messages{} }}}}", ".a".repeat(50_000))),
        ("conditions 10,000 deep", "{% if true %}".repeat(10_000)),
        ("200 kB of text", "a".repeat(200_000)),
        ("a message with escapes", "{{ raise_exception('a\u{1b}]0;pwn\u{7}\nb') }}".to_owned()),
        ("a message of 100 kB", "{{ raise_exception('a' * 100000) }}".to_owned()),
        ("no end of a block", "{% for m in messages %}".to_owned()),
        ("an unknown tag", "{% magic %}".to_owned()),
        ("an unknown filter", "{{ 1 | magic }}".to_owned()),
        ("an included file", "{% include '/etc/passwd' %}".to_owned()),
        ("an imported file", "{% import '/etc/passwd' as x %}".to_owned()),
        ("Python's own classes", "{{ ''.__class__.__mro__[1].__subclasses__()[0]('x') }}".to_owned()),
        ("what is not defined", "{{ nothing.at.all }}".to_owned()),
    ] {
        cases.push(with(name, template));
    }
    // These are deep and end: they have a stack of their own.
    for (name, template) in [
        ("minus 100,000 times", deep("-", "", 100_000)),
        ("not 30,000 times", deep("not ", "", 30_000)),
        ("a sum of 60,000", format!("{{{{ 1{} }}}}", "+1".repeat(60_000))),
    ] {
        cases.push(with(name, template).expecting(Expected::Accepted));
    }
    // Jinja prints nothing for an empty template, and the prompt is then that: one is needed.
    cases.push(with("nothing at all", "{# #}".to_owned()).naming("empty"));
    let piped = Case::new(READER, "a pipe", &RUN, |at| {
        folder(at);
        pipe(&at.join("chat_template.jinja"));
    });
    cases.push(piped.naming("chat_template.jinja"));
    let large = Case::new(READER, "a hole of 1 GiB", &RUN, |at| {
        folder(at);
        hole(&at.join("chat_template.jinja"), 1 << 30);
    });
    cases.push(large.naming("chat_template.jinja"));
    // Its control characters are part of the prompt, and no terminal sees them.
    let escapes = "\u{1b}[31m{{ messages[0].content }}\u{7}".to_owned();
    cases.push(with("escapes around the message", escapes).expecting(Expected::Either));
}
