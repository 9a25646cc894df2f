//! Chat templates against transformers, construct by construct, and templates that would never end.

use kscope::model::tokenizer::ChatTemplate;
use kscope_testing::models::json;
use kscope_testing::vectors;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, vec![("bos_token".to_owned(), "<s>".to_owned())], "test")
}

/// What Python renders and minijinja cannot: refused, never rendered as something else.
const REFUSED: [&str; 4] = [
    "{{ '%s-%d' % ('a', 3) }}",
    "{{ [1] | random }}",
    "{% macro kw() %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ kw(1, a=2) }}",
    "{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}",
];

#[test]
fn every_construct_renders_as_transformers_renders_it() {
    let file = json(&vectors().join("text/templates.json"));
    let pairs = |value: &serde_json::Value| -> Vec<(String, String)> {
        let texts = |pair: &serde_json::Value| {
            (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())
        };
        value.as_array().unwrap().iter().map(texts).collect()
    };
    let messages = pairs(&file["messages"]);
    let messages: Vec<(&str, &str)> =
        messages.iter().map(|(role, text)| (&role[..], &text[..])).collect();
    let special: Vec<(String, String)> = file["special"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
        .collect();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for case in cases {
        let source = case["template"].as_str().unwrap();
        let found = ChatTemplate::new(source, special.clone(), "test").render(&messages);
        let expected = case["text"].as_str().filter(|_| !REFUSED.contains(&source));
        match (expected, found) {
            (Some(expected), Ok(found)) if found == expected => {}
            (None, Err(_)) => {}
            (expected, found) => {
                wrong.push(format!("{source}\n  expected {expected:?}\n  found    {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_template_that_does_not_parse_matters_to_who_uses_it_and_says_where_it_is_from() {
    let broken = template("{% for x in %}");
    let error = broken.render(&[("user", "x")]).unwrap_err().to_string();
    assert!(error.contains("test") && error.contains("--raw"), "{error}");
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let nested = "{% for a in range(9999) %}{% for b in range(9999) %}";
    let ends = "{% endfor %}{% endfor %}";
    for source in [
        format!("{nested}{{% for c in range(9999) %}}x{{% endfor %}}{ends}"),
        format!(
            "{{% set ns = namespace(x=[]) %}}{nested}{{% set ns.x = [ns.x] %}}{ends}{{{{ ns.x }}}}"
        ),
        format!("{{% set ns = namespace(x='a') %}}{nested}{{% set ns.x = ns.x ~ ns.x %}}{ends}"),
        format!(
            "{{% set ns = namespace(x='ab') %}}{nested}{{% set ns.x = ns.x.replace('a', ns.x) %}}{ends}"
        ),
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{{ 'a'.zfill(999999999999) }}".to_owned(),
        "{{ 'a'.center(999999999999) }}".to_owned(),
        "{{ 'a' * 99999999999999 }}".to_owned(),
        "{{ '%999999999999d' % 1 }}".to_owned(),
        "{{ '{:>999999999999}'.format(1) }}".to_owned(),
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(100_000)),
        "{% if 1 %}".repeat(100_000),
    ] {
        let began = std::time::Instant::now();
        let _ = template(&source).render(&[("user", "x")]);
        assert!(began.elapsed().as_secs() < 20, "{}", &source[..source.len().min(80)]);
    }
}
