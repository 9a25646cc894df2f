//! Values that people type: sizes, contexts, floors and locks; and numbers as people read them.

use crate::machine;
use crate::mask::select::Heads;

/// A context in tokens: `32768`, `32k` (1024 each) or `1m`.
pub(super) fn tokens(text: &str) -> Result<usize, String> {
    machine::parse_tokens(text).ok_or_else(|| "expected tokens such as 32768 or 32k".to_string())
}

/// A byte budget at a context: `1.5GiB@32k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) bytes: u64,
    pub(super) tokens: usize,
}

pub(super) fn fit(text: &str) -> Result<Fit, String> {
    let wrong = || "expected a size at a context, such as 1.5GiB@32k".to_string();
    let (size, context) = text.split_once('@').ok_or_else(wrong)?;
    Ok(Fit { bytes: machine::parse_size(size).ok_or_else(wrong)?, tokens: tokens(context)? })
}

/// Heads and perhaps a number of channels: `3`, `3:1`, `3=64`, `3:1=64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadSpec {
    pub(super) heads: Heads,
    pub(super) channels: Option<usize>,
}

impl std::fmt::Display for HeadSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heads = match self.heads {
            Heads::All => String::new(),
            Heads::Layer(layer) => layer.to_string(),
            Heads::Head(layer, head) => format!("{layer}:{head}"),
        };
        match self.channels {
            Some(channels) if heads.is_empty() => write!(f, "{channels}"),
            Some(channels) => write!(f, "{heads}={channels}"),
            None => f.write_str(&heads),
        }
    }
}

/// A lock: which heads, and at how many channels where that is said.
pub(super) fn lock(text: &str) -> Result<HeadSpec, String> {
    let wrong = || "expected LAYER, LAYER:HEAD, LAYER=N or LAYER:HEAD=N".to_string();
    let (heads, channels) = match text.split_once('=') {
        Some((heads, channels)) => (heads, Some(channels.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let heads = match heads.split_once(':') {
        Some((layer, head)) => {
            Heads::Head(layer.parse().map_err(|_| wrong())?, head.parse().map_err(|_| wrong())?)
        }
        None => Heads::Layer(heads.parse().map_err(|_| wrong())?),
    };
    Ok(HeadSpec { heads, channels })
}

/// A floor: `16` for every head, or heads with a number.
pub(super) fn floor(text: &str) -> Result<HeadSpec, String> {
    if let Ok(channels) = text.parse() {
        return Ok(HeadSpec { heads: Heads::All, channels: Some(channels) });
    }
    lock(text)
        .ok()
        .filter(|spec| spec.channels.is_some())
        .ok_or_else(|| "expected N, LAYER=N or LAYER:HEAD=N (channels per head)".to_string())
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A ratio as a percentage.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", 100.0 * ratio)
}

/// Bytes in the largest binary unit that leaves a whole part.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.2} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_contexts() {
        assert_eq!(tokens("32k"), Ok(32768));
        assert_eq!(tokens("1M"), Ok(1 << 20));
        assert_eq!(tokens("896"), Ok(896));
        assert_eq!(fit("1.5GiB@32k"), Ok(Fit { bytes: 3 << 29, tokens: 32768 }));
        assert_eq!(fit("2gb@100"), Ok(Fit { bytes: 2_000_000_000, tokens: 100 }));
        assert_eq!(fit("4096@1k"), Ok(Fit { bytes: 4096, tokens: 1024 }));
        for wrong in ["", "k", "0", "-1", "1.5k", "5000m", "٣k", "é"] {
            assert!(tokens(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["1GiB", "@32k", "1XB@32k", "-1GiB@32k", "nan@1k", "1GiB@"] {
            assert!(fit(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn floors_and_locks() {
        let spec = |heads, channels| Ok(HeadSpec { heads, channels });
        assert_eq!(floor("16"), spec(Heads::All, Some(16)));
        assert_eq!(floor("3=16"), spec(Heads::Layer(3), Some(16)));
        assert_eq!(lock("3:1"), spec(Heads::Head(3, 1), None));
        assert_eq!(lock("3"), spec(Heads::Layer(3), None));
        assert_eq!(lock("3:1=8"), spec(Heads::Head(3, 1), Some(8)));
        for text in ["16", "3=16", "3:1=16"] {
            assert_eq!(floor(text).unwrap().to_string(), text);
        }
        assert_eq!(lock("3:1").unwrap().to_string(), "3:1");
        assert!(
            floor("3:1").is_err()
                && floor("x").is_err()
                && lock("3:=4").is_err()
                && lock("=4").is_err()
        );
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(
            (grouped(73984), grouped(7), grouped(1_000_000)),
            ("73 984".into(), "7".into(), "1 000 000".into())
        );
        assert_eq!(
            (bytes(512), bytes(73984), bytes(4 << 30)),
            ("512 B".into(), "72.25 KiB".into(), "4.00 GiB".into())
        );
    }
}
