//! What is shown of a text that has too little room: whole parts, or a sign where it is cut. A number
//! or a name that is cut without a sign would read as another one.

use ratatui::text::{Line, Span};

/// Columns of a text.
fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in at most `width` columns. Of a longer one stay the whole parts between ` · ` that fit,
/// or else its first whole words, and `…`. Of a word that does not fit by itself both ends stay:
/// names often differ in the last one.
pub fn fitted(text: String, width: usize) -> String {
    if columns(&text) <= width {
        return text;
    }
    // Up to a separator whose first blank still fits: the sign comes behind it.
    let parts = text.match_indices(" · ").map(|(at, _)| &text[..at]);
    if let Some(whole) = parts.take_while(|part| columns(part) + 2 <= width).last() {
        return format!("{whole} …");
    }
    let words = text.match_indices(' ').map(|(at, _)| text[..at].trim_end_matches([',', ':', ' ']));
    match words.take_while(|words| columns(words) < width).filter(|words| !words.is_empty()).last()
    {
        Some(words) => format!("{words}…"),
        None => ends(text.split(' ').next().unwrap_or_default(), width),
    }
}

/// Beginning and end of a word in at most `width` columns, with `…` between them.
fn ends(word: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    let mut start = String::new();
    for c in word.chars() {
        start.push(c);
        if columns(&start) > room.div_ceil(2) {
            start.pop();
            break;
        }
    }
    let left = room - columns(&start);
    let mut from = word.len();
    for (at, _) in word.char_indices().rev() {
        if columns(&word[at..]) > left || at < start.len() {
            break;
        }
        from = at;
    }
    format!("{start}…{}", &word[from..])
}

/// A name of several words in at most `width` columns. Of a longer one stay its last words, which
/// names of one kind differ in, and as much of the first as there is room for.
pub fn named(name: &str, width: usize) -> String {
    if columns(name) <= width {
        return name.to_owned();
    }
    let mut rests = name.match_indices(' ').map(|(at, _)| &name[at + 1..]);
    // Besides them fits the sign.
    let Some(rest) = rests.find(|rest| columns(rest) < width) else {
        return ends(name, width);
    };
    let room = width - 1 - columns(rest);
    let mut start = String::new();
    for c in name.chars().take_while(|c| *c != ' ') {
        start.push(c);
        if columns(&start) > room {
            start.pop();
            break;
        }
    }
    format!("{start}…{rest}")
}

/// The end of a text that is typed or a path in at most `width` columns, with `…` for what is before.
pub fn tail(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut from = text.len();
    for (at, _) in text.char_indices().rev() {
        if columns(&text[at..]) > width.saturating_sub(1) {
            break;
        }
        from = at;
    }
    format!("…{}", &text[from..])
}

/// The first of these forms, from long to short, that fits; or the last one, fitted.
pub fn best(width: usize, forms: impl IntoIterator<Item = String>) -> String {
    let mut last = String::new();
    for form in forms {
        if columns(&form) <= width {
            return form;
        }
        last = form;
    }
    fitted(last, width)
}

/// The facts that fit, the most important first, each with its forms from long to short. The later
/// ones get shorter first; where all are short, the last are left out as a whole, without a sign.
pub fn facts(facts: &[Vec<String>], width: usize) -> String {
    let said = |forms: &[usize]| {
        let shown = forms.iter().zip(facts).filter_map(|(&form, fact)| fact.get(form));
        shown.map(String::as_str).collect::<Vec<_>>().join(" · ")
    };
    let mut forms = vec![0; facts.len()];
    while columns(&said(&forms)) > width && forms.len() > 1 {
        match (0..forms.len()).rev().find(|&at| forms[at] + 1 < facts[at].len()) {
            Some(at) => forms[at] += 1,
            None => drop(forms.pop()),
        }
    }
    // What was left out may have made room for longer forms.
    for at in 0..forms.len() {
        while forms[at] > 0 {
            forms[at] -= 1;
            if columns(&said(&forms)) > width {
                forms[at] += 1;
                break;
            }
        }
    }
    fitted(said(&forms), width)
}

/// The line in at most `width` columns: where it is longer, it ends with `…`. Blanks at its end are no
/// loss.
pub fn shortened(mut line: Line<'_>, width: usize) -> Line<'_> {
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    if columns(text.trim_end_matches(' ')) <= width {
        return line;
    }
    let mut is_lost = false;
    while let Some(mut last) = line.spans.pop() {
        let room = width.saturating_sub(line.width());
        if room > 0 {
            let text = last.content.trim_end();
            last.content = match is_lost {
                true if columns(text) < room => format!("{text}…"),
                true => fitted(format!("{text} …"), room),
                false => fitted(last.content.into_owned(), room),
            }
            .into();
            line.spans.push(last);
            break;
        }
        is_lost = true;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_ends_with_a_whole_part_and_a_sign() {
        let of = |text: &str, width| fitted(text.to_owned(), width);
        assert_eq!(of("8: 604 · 4: 3,332", 17), "8: 604 · 4: 3,332");
        assert_eq!(of("8: 604 · 4: 3,332", 16), "8: 604 …");
        assert_eq!(of("8: 604 · 4: 3,332", 8), "8: 604 …");
        assert_eq!(of("comes later", 6), "comes…");
        assert_eq!(of("comes much later", 15), "comes much…");
        assert_eq!(of("reads 235 MiB, 4 of them", 15), "reads 235 MiB…");
        assert_eq!(of("smollm2-135m-0.7", 15), "smollm2…35m-0.7");
        assert_eq!(of("日本語", 5), "日…語");
        assert_eq!(of("日本語", 4), "日…");
        assert_eq!(of("anything", 1), "…");
        for text in ["16: 8 · 8: 604 · 日: 3,332", "one, two: three 日本", "smollm2-日本-0.7"]
        {
            for width in 1..30 {
                let text = of(text, width);
                assert!(columns(&text) <= width, "{width}: {text}");
            }
        }
    }

    /// Rows of a sweep were once all "learned 8.8 %…".
    #[test]
    fn names_keep_the_words_that_they_differ_in() {
        assert_eq!(named("learned 8.8 % align 32", 22), "learned 8.8 % align 32");
        assert_eq!(named("learned 8.8 % align 32", 16), "l…8.8 % align 32");
        assert_eq!(named("frequency 8.8 % align 8", 18), "freq…8.8 % align 8");
        assert_eq!(named("learned 50.8 % align 32", 16), "…50.8 % align 32");
        assert_eq!(named("learned 8.8 % align 32", 10), "l…align 32");
        assert_eq!(named("smollm2-135m-0.7", 15), "smollm2…35m-0.7");
        assert_eq!(named("日本語 8.8 %", 8), "日…8.8 %");
        for width in 1..30 {
            let cut = named("learned 日 8.8 % align 32", width);
            assert!(columns(&cut) <= width, "{width}: {cut}");
        }
    }

    #[test]
    fn a_line_that_is_cut_says_so() {
        let of = |parts: &[&'static str], width| {
            let line = Line::from(parts.iter().map(|part| Span::raw(*part)).collect::<Vec<_>>());
            shortened(line, width)
                .spans
                .iter()
                .map(|span| span.content.to_string())
                .collect::<String>()
        };
        assert_eq!(of(&["12", " tok/s   "], 8), "12 tok/s   ");
        assert_eq!(of(&["12", " tokens a second"], 12), "12 tokens a…");
        assert_eq!(of(&["1,024", " tokens"], 5), "1,…24");
        assert_eq!(of(&["1,024", " ", "tokens"], 6), "1,024…");
        for width in 1..20 {
            let cut = of(&["1,024", " tokens ", "of 4,096"], width);
            assert!(columns(&cut) <= width && cut.contains('…'), "{width}: {cut}");
        }
    }

    #[test]
    fn facts_get_shorter_before_they_are_left_out() {
        let all = [
            vec!["L0 h0".to_owned()],
            vec!["importance 0.5 (3 of 64)".to_owned(), "importance 0.5".to_owned()],
            vec!["K 128 B a token".to_owned(), "K 128 B".to_owned()],
        ];
        assert_eq!(facts(&all, 60), "L0 h0 · importance 0.5 (3 of 64) · K 128 B a token");
        assert_eq!(facts(&all, 43), "L0 h0 · importance 0.5 (3 of 64) · K 128 B");
        assert_eq!(facts(&all, 40), "L0 h0 · importance 0.5 · K 128 B a token");
        assert_eq!(facts(&all, 32), "L0 h0 · importance 0.5 · K 128 B");
        assert_eq!(facts(&all, 31), "L0 h0 · importance 0.5");
        assert_eq!(facts(&all, 9), "L0 h0");
    }

    #[test]
    fn of_what_is_typed_the_end_stays() {
        assert_eq!(tail("masks/a.safetensors", 13), "….safetensors");
        assert_eq!(tail("short", 5), "short");
        assert_eq!(tail("日本", 3), "…本");
    }

    #[test]
    fn the_longest_form_that_fits_is_taken() {
        let of = |width| best(width, ["dense 4, stored 3".to_owned(), "4 → 3".to_owned()]);
        assert_eq!(of(17), "dense 4, stored 3");
        assert_eq!(of(16), "4 → 3");
    }
}
