//! Values that only the mask commands take: sizes, shares, widths, floors and locks.

use crate::cli::values::tokens;
use crate::mask::Width;
use crate::mask::select::{Heads, WidthPlace};
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

/// A share of a dense cache: `28%` or `0.28`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    share
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a share of a dense cache such as 28% or 0.28".to_owned())
}

/// A width: 0, 2, 4, 8 or 16 bits.
pub(super) fn width(text: &str) -> Result<Width, String> {
    text.trim()
        .parse()
        .ok()
        .and_then(|bits| Width::of_bits(bits).ok())
        .ok_or_else(|| "expected widths of 0, 2, 4, 8 or 16 bits, such as 8,4,0".to_owned())
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

/// What a lock holds a place at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldAt {
    /// What the file has there.
    File,
    /// A number: kept channels of a mask, bits of a plan.
    Number(usize),
    /// Bits of K and of V, where given.
    Widths(Option<Width>, Option<Width>),
}

/// A lock: `3`, `3:1` or `3:1:40`, and perhaps `=8` or `=8/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LockSpec {
    pub(super) place: WidthPlace,
    pub(super) to: HeldAt,
}

impl std::fmt::Display for LockSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            WidthPlace::Heads(Heads::All) => Ok(()),
            WidthPlace::Heads(Heads::Layer(layer)) => write!(f, "{layer}"),
            WidthPlace::Heads(Heads::Head(layer, head)) => write!(f, "{layer}:{head}"),
            WidthPlace::Channel(layer, head, channel) => write!(f, "{layer}:{head}:{channel}"),
        }?;
        let bits = |width: Option<Width>| width.map_or_else(String::new, |width| width.to_string());
        match self.to {
            HeldAt::File => Ok(()),
            HeldAt::Number(number) => write!(f, "={number}"),
            HeldAt::Widths(k, v) => write!(f, "={}/{}", bits(k), bits(v)),
        }
    }
}

/// A lock: where, and at what if given.
pub(super) fn lock(text: &str) -> Result<LockSpec, String> {
    let wrong = || {
        "expected LAYER, LAYER:HEAD or LAYER:HEAD:CHANNEL, and perhaps =N, or =K/V for bits"
            .to_string()
    };
    let number = |text: &str| text.parse().map_err(|_| wrong());
    let (place, to) = text.split_once('=').map_or((text, None), |(place, to)| (place, Some(to)));
    let parts: Vec<usize> = place.split(':').map(number).collect::<Result<_, _>>()?;
    let place = match *parts {
        [layer] => WidthPlace::Heads(Heads::Layer(layer)),
        [layer, head] => WidthPlace::Heads(Heads::Head(layer, head)),
        [layer, head, channel] => WidthPlace::Channel(layer, head, channel),
        _ => return Err(wrong()),
    };
    let bits = |text: &str| match text {
        "" => Ok(None),
        bits => width(bits).map(Some).map_err(|_| wrong()),
    };
    let to = match to {
        None => HeldAt::File,
        Some(to) => match to.split_once('/') {
            Some((k, v)) if (k, v) != ("", "") => HeldAt::Widths(bits(k)?, bits(v)?),
            Some(_) => return Err(wrong()),
            None => HeldAt::Number(number(to)?),
        },
    };
    Ok(LockSpec { place, to })
}

/// A floor: `16` for every head, or heads with a number.
pub(super) fn floor(text: &str) -> Result<HeadSpec, String> {
    if let Ok(channels) = text.parse() {
        return Ok(HeadSpec { heads: Heads::All, channels: Some(channels) });
    }
    match lock(text) {
        Ok(LockSpec { place: WidthPlace::Heads(heads), to: HeldAt::Number(channels) }) => {
            Ok(HeadSpec { heads, channels: Some(channels) })
        }
        _ => Err("expected N, LAYER=N or LAYER:HEAD=N (channels per head)".to_string()),
    }
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
    fn shares_and_widths() {
        let near = |text, expected: f64| (share(text).unwrap() - expected).abs() < 1e-12;
        assert!(near("28%", 0.28) && near("28.5 %", 0.285) && near("0.28", 0.28) && near("1", 1.0));
        for wrong in ["28", "101%", "-1%", "", "%", "nan", "x%", "inf%"] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!((width("8"), width(" 0")), (Ok(Width::Eight), Ok(Width::Zero)));
        assert!(width("3").is_err() && width("").is_err() && width("256").is_err());
    }

    #[test]
    fn floors_and_locks() {
        let spec = |heads, channels| Ok(HeadSpec { heads, channels });
        assert_eq!(floor("16"), spec(Heads::All, Some(16)));
        assert_eq!(floor("3=16"), spec(Heads::Layer(3), Some(16)));
        let held = |place, to| Ok(LockSpec { place, to });
        assert_eq!(lock("3:1"), held(WidthPlace::Heads(Heads::Head(3, 1)), HeldAt::File));
        assert_eq!(lock("3"), held(WidthPlace::Heads(Heads::Layer(3)), HeldAt::File));
        assert_eq!(lock("3:1=8"), held(WidthPlace::Heads(Heads::Head(3, 1)), HeldAt::Number(8)));
        let widths = HeldAt::Widths(Some(Width::Eight), Some(Width::Four));
        assert_eq!(lock("3:1=8/4"), held(WidthPlace::Heads(Heads::Head(3, 1)), widths));
        let of_v = HeldAt::Widths(None, Some(Width::Two));
        assert_eq!(lock("3=/2"), held(WidthPlace::Heads(Heads::Layer(3)), of_v));
        assert_eq!(lock("3:1:40=16"), held(WidthPlace::Channel(3, 1, 40), HeldAt::Number(16)));
        for text in ["16", "3=16", "3:1=16"] {
            assert_eq!(floor(text).unwrap().to_string(), text);
        }
        for text in ["3:1", "3:1:40=16", "3=8/", "3=/2", "3:1=8/4"] {
            assert_eq!(lock(text).unwrap().to_string(), text);
        }
        for wrong in ["3:1", "x", "3:1:2=4", "3=8/4"] {
            assert!(floor(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["3:=4", "=4", "3=", "3=/", "3=3/4", "3:1:2:3", "3=8/4/2"] {
            assert!(lock(wrong).is_err(), "{wrong:?}");
        }
    }
}
