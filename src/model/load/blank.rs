//! Weights that are zero throughout: legal numbers, and most often a file that was reserved and never
//! filled.

use crate::error::shortened;

/// One sentence on weights whose bytes are all zero, given by name and bytes; `None` where there are
/// none. Any other weight costs a look at its first bytes.
pub(super) fn warning<'a>(
    origin: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<String> {
    let mut blank: Vec<&str> = tensors
        .filter(|(name, bytes)| {
            name.ends_with(".weight") && !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0)
        })
        .map(|(name, _)| name)
        .collect();
    blank.sort_unstable();
    let first = format!("{origin}: tensor `{}`", shortened(blank.first()?));
    Some(match blank.len() {
        1 => format!("{first} is zero throughout"),
        n => format!("{first} and {} more are zero throughout", n - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_weights_without_a_single_bit_are_named() {
        let tensors: [(&str, &[u8]); 5] = [
            ("b.weight", &[0; 4]),
            ("a.weight", &[0, 0, 0, 1]),
            ("a.bias", &[0; 4]),
            ("none.weight", &[]),
            ("a.first.weight", &[0; 9]),
        ];
        assert_eq!(warning("F", tensors[1..4].iter().copied()), None);
        let one = warning("F", tensors[..4].iter().copied());
        assert_eq!(one.unwrap(), "F: tensor `b.weight` is zero throughout");
        let two = warning("F", tensors.into_iter());
        assert_eq!(two.unwrap(), "F: tensor `a.first.weight` and 1 more are zero throughout");
    }
}
