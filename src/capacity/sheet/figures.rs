//! Figures as cells of tables.

use crate::numbers::count;

/// Stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A number of any kind: whole ones with separators.
pub fn plain(number: f64) -> String {
    match number.fract() == 0.0 && (0.0..1e15).contains(&number) {
        true => count(number as usize),
        false => format!("{number}"),
    }
}

/// Milliseconds of a step, or that it does not fit.
pub(super) fn ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| "does not fit".to_owned(), |ms| format!("{ms:.2}"))
}

/// US dollars: cents below a hundred, whole ones above.
pub fn usd(usd: f64) -> String {
    let sign = if usd < 0.0 { "-" } else { "" };
    match usd.abs() {
        // Also what rounds to it: "$100.00" would be neither.
        usd if usd < 99.995 => format!("{sign}${usd:.2}"),
        usd => format!("{sign}${}", count(usd.round() as usize)),
    }
}

/// A price, to the cent, or as it was given where it has parts of cents.
pub fn price(usd: f64) -> String {
    let cents = usd * 100.0;
    match (cents - cents.round()).abs() < 1e-6 {
        true => format!("${usd:.2}"),
        false => format!("${usd}"),
    }
}

pub(super) fn usd_or_none(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), usd)
}

/// Tokens per second of a batch whose step takes so many ms.
pub(super) fn rate(batch: usize, ms: Option<f64>) -> String {
    ms.map_or_else(|| NONE.to_owned(), |ms| count((batch as f64 / ms * 1e3) as usize))
}

/// "122,880", or what says that nothing fits.
pub(super) fn most(value: usize) -> String {
    if value == 0 { "none".to_owned() } else { count(value) }
}

/// "1 sequence", "16 sequences"
pub(super) fn counted(number: usize, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_cents_where_they_matter_and_their_sign_in_front() {
        let found = [0.0, 3.5, -3.5, 99.994, 99.999, -100.4, 34_635_580.2].map(usd);
        let expected = ["$0.00", "$3.50", "-$3.50", "$99.99", "$100", "-$100", "$34,635,580"];
        assert_eq!(found, expected);
        assert_eq!([2048.0, 0.85, -2.0].map(plain), ["2,048", "0.85", "-2"]);
        assert_eq!([3.5, 0.526, 12.0].map(price), ["$3.50", "$0.526", "$12.00"]);
        assert_eq!(
            [counted(1, "sequence"), counted(16, "sequence")],
            ["1 sequence", "16 sequences"]
        );
    }
}
