//! Values that only the mask commands take: a size at a context, floors and locks.

use crate::cli::values::tokens;
use crate::mask::select::Heads;
use crate::numbers;

/// A byte budget at a context: `1.5GiB@32k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) bytes: u64,
    pub(super) tokens: usize,
}

pub(super) fn fit(text: &str) -> Result<Fit, String> {
    let wrong = || "expected a size at a context, such as 1.5GiB@32k".to_string();
    let (size, context) = text.split_once('@').ok_or_else(wrong)?;
    Ok(Fit { bytes: numbers::parse_size(size).ok_or_else(wrong)?, tokens: tokens(context)? })
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

/// A lock: which heads, and at how many channels if given.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_at_a_context() {
        assert_eq!(fit("1.5GiB@32k"), Ok(Fit { bytes: 3 << 29, tokens: 32768 }));
        assert_eq!(fit("2gb@100"), Ok(Fit { bytes: 2_000_000_000, tokens: 100 }));
        assert_eq!(fit("4096@1k"), Ok(Fit { bytes: 4096, tokens: 1024 }));
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
}
