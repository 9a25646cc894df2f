//! Chat templates against transformers, construct by construct, and templates that would never end.

use kscope::model::tokenizer::ChatTemplate;
use kscope_testing::models::json;
use kscope_testing::vectors;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, vec![("bos_token".to_owned(), "<s>".to_owned())], "test")
}

/// What transformers renders and kscope refuses by name, because chance or a random text is in it or
/// because nobody needs it: never rendered as something else.
const REFUSED: &[(&str, &str)] = &[
    (r"{{ [1] | random }}", r"filter `random`: is not supported"),
    (
        r"{% macro kw() %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ kw(1, a=2) }}",
        r"`kwargs` is not supported",
    ),
    (
        r"{{ ('<b>%s</b>' | safe) % '<i>' }}{{ ('<b>{}</b>' | safe).format('<i>') }}{{ ('-' | safe).join(['<', '>']) }}{{ ('a' | safe).replace('a', '<') }}",
        r"`%` on an escaped text is not supported",
    ),
    (
        r"{{ {'a': 1}.keys() == {'a': 2}.keys() }}{{ {'a': 1}.items() == {'a': 1}.items() }}{{ {'a': 1}.keys()[0] is defined }}{{ range(9)[2:5] }}{{ range(9)[-1] }}{{ 3 in range(9) }}",
        r"a slice of 'range' is not supported",
    ),
    (
        r"{{ ['\u200b', '\xad', '\u3000', '\ue000', '\x00\x1f\x7f', '\u2028', 'é日😀', '\U000e0001'] }}",
        r"the escape `\U` in a text is not supported",
    ),
    (r"{{ '\N{BULLET}' }}", r"the escape `\N` in a text is not supported"),
    (
        r"{{ '\a\b\f\v\101\60' | tojson }}{{ '\q\d' }}{{ 'a\
b' }}{{ '\x41\u0042\U00000043' }}",
        r"the escape `\a` in a text is not supported",
    ),
    (
        r"{{ 'ǅ'.istitle() }}{{ 'ǅ'.isupper() }}{{ 'A日'.isupper() }}{{ '日'.isupper() }}{{ '日'.isalpha() }}{{ 'नि'.isalpha() }}{{ 'Ⅷ'.isalpha() }}{{ '٣'.isdigit() }}{{ '٣' | int }}{{ '①'.isdigit() }}{{ '①'.isdecimal() }}{{ '四'.isnumeric() }}",
        r"filter `int`: digits that are not ASCII are not supported",
    ),
    (
        r"{{ self }}{% block a %}x{% endblock %}{{ self.a() }}{{ self.b is defined }}",
        r"`self` is not supported",
    ),
    (r"{{ lipsum(1) | length > 0 }}", r"`lipsum` is not supported"),
    (
        r"{{ namespace(a=1, b='x') }}{{ namespace() }}{{ namespace({'a': 1.0}) }}{{ namespace({'a': 1}, b=2) }}{{ namespace([['a', 1]]).a }}",
        r"a namespace does not keep the order to print it in",
    ),
    (
        r"{% macro m(a) %}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}",
        r"`.arguments` of a macro is not supported",
    ),
    (r"{{ 'see https://a.b' | urlize }}", r"filter `urlize`: is not supported"),
    (
        r"{{ +1 }}{{ +1.5 }}{{ 2 + +3 }}{{ 2 - -3 }}{{ +true }}{{ - -1 }}{{ -1 | abs }}{{ -2 ** 2 }}{{ 2 ** 3 ** 2 }}{{ not 1 == 2 }}",
        r"unexpected `+`",
    ),
    (r"{{ 'é'.encode() }}", r"`.encode()` of 'str' is not supported"),
    (
        r"{{ 'abc'.translate({97: 'x', 98: none, 99: 100}) }}{{ 'abc'.translate(''.maketrans('ab', 'xy', 'c')) }}{{ 'abc'.translate(''.maketrans({'a': 'long'})) }}",
        r"`.translate()` of 'str' is not supported",
    ),
    (
        r"{{ 1000 | filesizeformat }}{{ 1 | filesizeformat }}{{ 999 | filesizeformat }}{{ 1536 | filesizeformat(true) }}{{ 1e7 | filesizeformat }}{{ {'class': 'a b', 'id': none, 'x': '<'} | xmlattr }}",
        r"filter `xmlattr`: is not supported",
    ),
    (
        r"{{ messages | map(attribute='role') | string | length > 40 }}",
        r"filter `string`: a function, method or generator prints its memory address",
    ),
    (
        r"{{ 'abc'.upper | string | length > 20 }}",
        r"filter `string`: a function, method or generator prints its memory address",
    ),
    (
        r"{{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}{{ [{'a': {'b': [1, 2]}}] | map(attribute='a.b.1') | list }}{{ ['a', 'b'] | map('replace', 'a', 'x') | list }}{{ [1, 2, 3, 4] | select('gt', 2) | list }}{{ [1, 2, 3] | reject('in', [1, 3]) | list }}{{ [0, 1, ''] | reject | list }}{{ none | map('upper') | list }}",
        r"filter `map`: 'NoneType' is not iterable",
    ),
    (
        r"{{ [1].append is defined }}{{ [1].append }}|{{ {}.update is defined }}|{{ {}.pop }}|{{ 'a'.__class__ }}|{{ 'a'.__class__ is defined }}|{{ {}.clear }}",
        r"a function, method or generator prints its memory address",
    ),
    (
        r"{{ {'items': 1}.items is callable }}{{ range | string | length > 3 }}",
        r"filter `string`: a function, method or generator prints its memory address",
    ),
    (
        r"{% macro m(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, 4) }}{{ m(1, z=5) }}{{ m(b=1, a=2) }}{{ m() }}",
        r"`varargs` is not supported",
    ),
    (
        r"{% with a = 1, b = a is defined %}{{ a }}{{ b }}{% endwith %}{% with a, b = (1, 2) %}{{ a }}{% endwith %}",
        r"unexpected `,`, expected assignment operator",
    ),
    (
        r"{% for c in 'añ' %}{{ c }}.{% endfor %}{% for a, b in ['xy', 'zw'] %}{{ b }}{% endfor %}{% for k in {'a': 1} %}{{ k }}{% endfor %}",
        r"cannot unpack: value is not iterable",
    ),
    (
        r"{% set v = 'top' %}{% for i in [1] %}{% set w = 'loop' %}{% block a %}{{ v }}{{ w is defined }}{{ i is defined }}{% endblock %}{% block b scoped %}{{ w }}{{ i }}{% endblock %}{% endfor %}",
        r"`block` inside of another statement is not supported",
    ),
    (
        r"{% if true: %}a{% endif %}{% print 1 + 1 %}{% print 'a', 'b' %}",
        r"unexpected `:`, expected end of block",
    ),
    (
        r"{{ [1] | map('upper') | join | upper if 'a'.upper | string }}",
        r"filter `string`: a function, method or generator prints its memory address",
    ),
    (r"{% autoescape true %}{{ '<b>' }}{% endautoescape %}", r"`autoescape` is not supported"),
    (r"{{ 2 ** 200 }}", r"unable to calculate 2 ** 200"),
    (
        r#"{{ 'a' 'b' "c" }}{{ ('a'
'b') }}{{ [1, 2,] }}{{ {'a': 1,} }}{{ (1,) }}{{ 1, 2 }}{{ () }}{{ [] | length, 5 }}"#,
        r"unexpected `,`, expected end of variable block",
    ),
    (
        r#"{{ dict([('a', 1), ('b', 2)]) }}{{ dict([['a', 1]], b=3) }}{{ dict({'a': 1}.items()) }}{{ dict() }}{{ dict(['ab']) }}{{ dict.fromkeys is defined }}"#,
        r"`.fromkeys` of a function",
    ),
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
    assert_eq!(cases.len(), 512);
    let missing =
        REFUSED.iter().filter(|(source, _)| !cases.iter().any(|case| case["template"] == *source));
    assert_eq!(missing.count(), 0, "every refused piece is in the file");
    let mut wrong = Vec::new();
    for case in cases {
        let source = case["template"].as_str().unwrap();
        let found = ChatTemplate::new(source, special.clone(), "test").render(&messages);
        let refused = REFUSED.iter().find(|(refused, _)| *refused == source);
        let expected = case["text"].as_str().filter(|_| refused.is_none());
        match (expected, found) {
            (Some(expected), Ok(found)) if found == expected => {}
            (None, Err(error))
                if refused.is_some_and(|(_, why)| !error.to_string().contains(why)) =>
            {
                wrong.push(format!("{source}\n  is refused with {error}"));
            }
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
fn errors_name_the_filter_and_the_line() {
    let mut wrong = Vec::new();
    for (source, parts) in [
        ("a\n{{ [1, 'a'] | sort }}", ["filter `sort`", "'str' and 'int'", "chat:2"]),
        ("{{ none | join }}", ["filter `join`", "not iterable", "chat:1"]),
        ("\n\n{{ 'a' | indent('x', y=1) }}", ["filter `indent`", "'y'", "chat:3"]),
        (
            "{{ ['a'] | map('abs') | list }}",
            ["filter `map`: filter `abs`", "absolute value", "chat:1"],
        ),
        ("{{ 'a' is divisibleby }}", ["test `divisibleby`", "needs a whole number", "chat:1"]),
        ("{{ 'abc'.index('x') }}", ["`.index()`", "substring not found", "chat:1"]),
        ("{{ 1 | nosuch }}", ["no filter `nosuch`", "does not parse", "line 1"]),
        (
            "{% if 1 %}\n{{ 1 | nosuch }}{% endif %}",
            ["filter nosuch is unknown", "failed", "chat:2"],
        ),
        ("{{ {}.pop('a') }}", ["`.pop()`", "not supported", "chat:1"]),
        ("{{ messages.0.nothing.more }}", ["undefined value", "failed", "chat:1"]),
        ("{% include 'x' %}", ["`include`", "not supported", "chat:1"]),
        ("{{ 'a' < 1 }}", ["`<` does not take", "'str' and 'int'", "chat:1"]),
        ("{% for a in b %}\n{% endif %}", ["unknown statement endif", "test", "chat:2"]),
    ] {
        let error = template(source).render(&[("user", "x")]).unwrap_err().to_string();
        if !parts.iter().all(|part| error.contains(part)) {
            wrong.push(format!("{source}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_date_is_written_as_python_writes_it_or_its_format_is_refused() {
    let render = |format: &str| {
        template(&format!("{{{{ strftime_now('{format}') }}}}")).render(&[("user", "x")])
    };
    // The time of `datetime.now()` has no zone.
    assert_eq!(render("[%Z%z]").unwrap(), "[]");
    assert_eq!(render("100%%").unwrap(), "100%");
    let date = chrono::Local::now().format("%d %b %Y").to_string();
    assert_eq!(render("%d %b %Y").unwrap(), date);
    assert_eq!(render("%f").unwrap().len(), 6);
    for format in ["%q", "%v", "%+", "%:z", "%10Y", "%", "%-"] {
        let error = render(format).unwrap_err().to_string();
        assert!(error.contains("strftime_now") && error.contains(format), "{format}: {error}");
    }
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
        format!("{{{{ 1{} }}}}", " + 1".repeat(100_000)),
        format!("{{{{ x{} }}}}", ".a".repeat(100_000)),
        format!("{{{{ x{} }}}}", "|e".repeat(100_000)),
        format!("{{{{ [{}] }}}}", "1,".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(100_000)),
        "{{ 2 ** 99999999999 }}".to_owned(),
        "{{ '%*d' % (999999999999, 1) }}".to_owned(),
        "{{ 'a' | indent(999999999999) }}{{ 'a' | center(999999999999) }}".to_owned(),
        "{{ [1] | batch(999999999999, 0) | list }}{{ [1] | slice(999999999999) | list }}"
            .to_owned(),
        "{{ {'a': 1} | tojson(indent=999999999999) }}".to_owned(),
        "{{ 'a\t'.expandtabs(999999999999) }}".to_owned(),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}{{ ns.x == ns }}".to_owned(),
        format!(
            "{{% set ns = namespace(x=[]) %}}{nested}{{% set ns.x = [ns.x, ns.x] %}}{ends}{{{{ ns.x }}}}"
        ),
        "{% set ns = namespace(x=1, y=1) %}{% for a in range(500) %}{% set ns.x = [ns.x, ns.x] %}\
         {% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}{{ ns.x < ns.y }}"
            .to_owned(),
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
        "{% block a %}{{ self.a() }}{% endblock %}".to_owned(),
        "{{ range(99999) | map('string') | unique | list | length }}".to_owned(),
    ] {
        let began = std::time::Instant::now();
        let _ = template(&source).render(&[("user", "x")]);
        assert!(began.elapsed().as_secs() < 20, "{}", &source[..source.len().min(80)]);
    }
}
