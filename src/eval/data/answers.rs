//! Answers in running text.

use std::sync::LazyLock;

use regex::Regex;

#[allow(clippy::expect_used, reason = "the patterns are fixed, and tests read with them")]
static CHOICES: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [r"The correct answer is \(([A-D])\)", r"The correct answer is ([A-D])"]
        .map(|pattern| Regex::new(pattern).expect("the pattern is fixed"))
});

/// The letter of a choice, as LongBench v2 finds it.
pub fn choice(reply: &str) -> Option<String> {
    let reply = reply.replace('*', "");
    CHOICES.iter().find_map(|pattern| Some(pattern.captures(&reply)?[1].to_owned()))
}

/// What stands before the number, whether its last place counts, and what ends it; `None` is the
/// first character that is no digit.
const PLACES: [(&str, bool, Option<&str>); 10] = [
    ("answer: ", false, Some(".")),
    ("solution: ", false, Some(".")),
    ("oxed{", true, Some("}")),
    ("**answer:** ", false, Some(".")),
    ("**answer: ", false, Some("**")),
    ("final answer: answer: ", false, Some(".")),
    ("\nanswer: ", false, Some(".")),
    ("\\text{answer: } ", false, None),
    ("is ", true, Some(".")),
    ("answer: ", false, Some("\n")),
];

/// The number that a reply gives as its answer, as GSM-Infinite looks for it.
pub fn integer(reply: &str) -> Option<i64> {
    let reply = reply.to_lowercase();
    PLACES.iter().find_map(|&(before, last, end)| {
        let rest = match last {
            true => reply.rsplit_once(before)?.1,
            false => reply.split_once(before)?.1,
        };
        let number = match end {
            Some(end) => rest.split(end).next()?,
            None => rest.split(|c: char| !c.is_ascii_digit()).next()?,
        };
        number.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_found_with_and_without_brackets() {
        assert_eq!(choice("So **The correct answer is (C)**."), Some("C".to_owned()));
        assert_eq!(
            choice("The correct answer is B, or The correct answer is (D)"),
            Some("D".to_owned())
        );
        assert_eq!(choice("the correct answer is A"), None);
    }

    #[test]
    fn numbers_are_found_where_replies_put_them() {
        for (reply, number) in [
            ("Answer: 12.", Some(12)),
            ("so \\boxed{3} and \\boxed{7}", Some(7)),
            ("**Answer: 5**", Some(5)),
            ("The total is 4 and it is 9.", Some(9)),
            ("answer: 8\nmore", Some(8)),
            ("none", None),
        ] {
            assert_eq!(integer(reply), number, "{reply}");
        }
    }
}
