//! Counts, bytes, sizes and shares: read and printed in one way everywhere.

/// A whole number with separators: `131,072`.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things in words: `1 token`, `1,024 tokens`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Bytes with three digits or so, in binary units: `1.50 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes} B"),
        (_, v) if v < 10.0 => format!("{v:.2} {}", UNITS[unit]),
        (_, v) if v < 100.0 => format!("{v:.1} {}", UNITS[unit]),
        (_, v) => format!("{v:.0} {}", UNITS[unit]),
    }
}

/// A number with this many decimals. One that rounds to nothing has no sign: sums of nothing are −0,
/// and differences are often a little below it.
pub fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if is_nothing(digits) => digits.to_owned(),
        _ => text,
    }
}

/// A difference with its sign and this many decimals; one that rounds to nothing has none.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{value:+.decimals$}");
    match text.get(1..) {
        Some(digits) if is_nothing(digits) => digits.to_owned(),
        _ => text,
    }
}

fn is_nothing(digits: &str) -> bool {
    digits.chars().all(|c| matches!(c, '0' | '.'))
}

/// A share, 0 to 1, as a percentage with this many decimals: `71.25 %`.
pub fn percent(share: f64, decimals: usize) -> String {
    format!("{} %", plain(100.0 * share, decimals))
}

/// A divergence in nats with two digits or more: `0.0123`, `0.00050`, `4.3e-5`, `0`.
pub fn nats(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 1e-4 => format!("{value:.1e}"),
        v if v < 1e-3 => format!("{value:.5}"),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 10.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens per second with a sensible number of digits.
pub fn rate(tokens_per_second: f64) -> String {
    match tokens_per_second {
        r if r < 10.0 => format!("{r:.2} tok/s"),
        r if r < 100.0 => format!("{r:.1} tok/s"),
        r => format!("{} tok/s", count(r.round() as usize)),
    }
}

/// A size as people type it: `1.5GiB`, `800 MB`, `4096`; decimal and binary units, at least one
/// byte.
pub fn parse_size(text: &str) -> Option<u64> {
    let unit_at =
        text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit: f64 = match text[unit_at..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number = text[..unit_at]
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number > 0.0)?;
    Some((number * unit).floor() as u64).filter(|&bytes| bytes > 0)
}

/// A number of tokens as people type it: `32768`, `32,768`, `32k` (1024 each) or `1m`. Less than
/// 2^32.
pub fn parse_tokens(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1 << 10),
        Some(b'm') => (&lower[..lower.len() - 1], 1 << 20),
        _ => (&lower[..], 1),
    };
    without_separators(digits)?.parse::<u32>().ok()?.checked_mul(unit).map(|tokens| tokens as usize)
}

/// Digits without the separators that [`count`] writes; `None` where a comma separates other than
/// groups of three.
fn without_separators(text: &str) -> Option<String> {
    if let Some((first, rest)) = text.split_once(',') {
        let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
        let leads = (1..=3).contains(&first.len()) && digits(first);
        if !leads || !rest.split(',').all(|group| group.len() == 3 && digits(group)) {
            return None;
        }
    }
    Some(text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        assert_eq!((plain(-0.0, 0), plain(-0.004, 2)), ("0".to_owned(), "0.00".to_owned()));
        assert_eq!((plain(-0.006, 2), plain(2.5, 1)), ("-0.01".to_owned(), "2.5".to_owned()));
        assert_eq!((signed(-4e-5, 4), signed(0.0, 1)), ("0.0000".to_owned(), "0.0".to_owned()));
        assert_eq!((signed(0.06, 1), signed(-0.06, 1)), ("+0.1".to_owned(), "-0.1".to_owned()));
        assert_eq!(percent(-1e-9, 1), "0.0 %");
        let nothing: f64 = [].iter().sum::<f64>();
        assert_eq!(plain(nothing, 1), "0.0");
    }

    #[test]
    fn numbers_as_people_read_them() {
        let counts = [7, 999, 1000, 73_984, 1_000_000].map(count);
        assert_eq!(counts, ["7", "999", "1,000", "73,984", "1,000,000"]);
        let rates = [1.234, 45.678, 4915.2].map(rate);
        assert_eq!(rates, ["1.23 tok/s", "45.7 tok/s", "4,915 tok/s"]);
        let sizes = [999, 1000, 1536, 73_984, 131 << 20, 16 << 30].map(bytes);
        assert_eq!(sizes, ["999 B", "1000 B", "1.50 KiB", "72.2 KiB", "131 MiB", "16.0 GiB"]);
        let divergences = [0.0, 4.3e-7, 0.00005, 0.0005, 0.0123, 0.5, 12.0, f64::NAN].map(nats);
        let written = ["0", "4.3e-7", "5.0e-5", "0.00050", "0.0123", "0.500", "12.0", "NaN"];
        assert_eq!(divergences, written);
        assert_eq!((percent(0.7125, 2), percent(0.7125, 1)), ("71.25 %".into(), "71.2 %".into()));
    }

    #[test]
    fn numbers_as_people_type_them() {
        for (text, tokens) in [
            ("32k", 32_768),
            ("1M", 1 << 20),
            ("896", 896),
            ("0", 0),
            ("8,192", 8192),
            ("1,048,576", 1 << 20),
            ("1,024k", 1 << 20),
        ] {
            assert_eq!(parse_tokens(text), Some(tokens), "{text}");
        }
        for wrong in [
            "", "k", "-1", "1.5k", "5000m", "٣k", "é", ",", "8,19", ",192", "8,192,", "8192,000",
            "8,+92",
        ] {
            assert_eq!(parse_tokens(wrong), None, "{wrong:?}");
        }
        for (text, bytes) in [
            ("1.5GiB", 3 << 29),
            ("2gb", 2_000_000_000),
            ("800 MB", 800_000_000),
            ("4096", 4096),
            ("1TiB", 1 << 40),
            ("0.5 TB", 500_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "1XB", "-1GiB", "0", "nan"] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }
}
