//! `{% generation %}`, which transformers adds to Jinja to mark what the assistant says.

/// The template with every `{% generation %}` block as a plain scope, `{% with %}`: that is what it
/// is when nobody asks for the marks. Text, comments, strings and raw blocks stay as they are.
pub fn as_scopes(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{").filter(|&at| at + 1 < rest.len()) {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let length = match &tag.as_bytes()[1] {
            b'#' => tag.find("#}").map_or(tag.len(), |at| at + 2),
            b'{' => 2 + inside(&tag[2..], "}}"),
            b'%' => {
                let length = 2 + inside(&tag[2..], "%}");
                match word(&tag[2..length]) {
                    "raw" => {
                        let whole = length + raw(&tag[length..]);
                        // minijinja drops a line end after the tag, Jinja does not.
                        if tag[length..].starts_with('\n') && !tag[..length].ends_with("-%}") {
                            out.push_str(&tag[..length]);
                            out.push('\n');
                            out.push_str(&tag[length..whole]);
                            rest = &tag[whole..];
                            continue;
                        }
                        whole
                    }
                    name @ ("generation" | "endgeneration") => {
                        let plain = if name == "generation" { "with" } else { "endwith" };
                        out.push_str(&tag[..length].replacen(name, plain, 1));
                        rest = &tag[length..];
                        continue;
                    }
                    _ => length,
                }
            }
            _ => 1,
        };
        out.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    out.push_str(rest);
    out
}

/// The first word of a tag's inside.
fn word(inside: &str) -> &str {
    let inside = inside.trim_start_matches(['-', '+']).trim_start();
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    &inside[..end]
}

/// Bytes up to and with `end`, strings and nested braces skipped.
fn inside(text: &str, end: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            _ if depth == 0 && text.as_bytes()[at..].starts_with(end.as_bytes()) => {
                return at + end.len();
            }
            quote @ (b'\'' | b'"') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Bytes up to and with the tag that ends a raw block.
fn raw(text: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text[at..].find("{%") {
        let start = at + found + 2;
        let length = text[start..].find("%}").map_or(text.len() - start, |end| end + 2);
        if word(&text[start..start + length]) == "endraw" {
            return start + length;
        }
        at = start;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::as_scopes;

    #[test]
    fn only_tags_become_scopes() {
        for (source, expected) in [
            ("{% generation %}a{% endgeneration %}", "{% with %}a{% endwith %}"),
            ("{%- generation -%}a{%-endgeneration-%}", "{%- with -%}a{%-endwith-%}"),
            ("{%+ generation\n%}a{% endgeneration %}", "{%+ with\n%}a{% endwith %}"),
        ] {
            assert_eq!(as_scopes(source), expected);
        }
        for same in [
            "",
            "{",
            "{%",
            "{% raw %}{% generation %}{% endraw %}",
            "{%- raw -%}{% generation %}{%- endraw -%}{{ 'x' }}",
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{{ \"a\\\"{% generation %}\" }}",
            "{% set generation = 1 %}{{ generation }}",
            "{{ {'a': {'b': 1}} }} { generation }",
            "{% if '%}{% generation %}' %}x{% endif %}",
            "generation {%",
            "grüße {{ 'ü' }} {",
            "{{ 'unfinished \\",
        ] {
            assert_eq!(as_scopes(same), same);
        }
    }
}
