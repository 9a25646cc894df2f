//! The numbers that a plan assumes. Each has a name, a reason and a range, is printed with every
//! plan, and can be changed by its name.

use serde_json::{Value, json};

use crate::{Error, Result};

macro_rules! assumed {
    ($($variant:ident = $name:literal, $default:literal, $range:expr, $unit:literal, $about:literal, $source:literal;)*) => {
        /// A number that a plan assumes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Assumed { $(#[doc = $about] $variant,)* }

        /// All of them, in the order in which they are printed.
        pub const ASSUMED: &[AssumedRow] = &[$(AssumedRow {
            assumed: Assumed::$variant,
            name: $name,
            default: $default,
            range: $range,
            unit: $unit,
            about: $about,
            source: $source,
        },)*];
    };
}

/// One number that a plan assumes.
#[derive(Debug, Clone, Copy)]
pub struct AssumedRow {
    /// Which one.
    pub assumed: Assumed,
    /// What `--assume` calls it.
    pub name: &'static str,
    /// The value where nothing else is said.
    pub default: f64,
    /// The least and the most that make sense.
    pub range: [f64; 2],
    /// Its unit.
    pub unit: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Why it is so.
    pub source: &'static str,
}

assumed! {
    Reach = "reach", 0.85, [0.05, 1.0], "share",
        "share of a GPU's memory bandwidth that a dense decode step reaches",
        "streaming kernels reach 0.80 to 0.93; `kscope bench bandwidth` and --measured give the real one";
    ReachPruned = "reach-pruned", 0.85, [0.05, 1.0], "share",
        "the same under a mask, a cache plan or a plain 8-bit or 4-bit cache",
        "as dense: kernels that do not waste what was dropped; LeanK's own reached 0.77 of the dense one's";
    Compute = "compute", 0.6, [0.05, 1.0], "share",
        "share of a GPU's 16-bit compute that a decode step of a large batch reaches",
        "usual for matrix products of some hundred rows";
    PrefillCompute = "prefill-compute", 0.4, [0.05, 1.0], "share",
        "the same of prefill",
        "usual model FLOP utilisation of serving";
    Reserve = "reserve-gib", 1.0, [0.0, 64.0], "GiB",
        "memory of a GPU that the driver's context and the program itself hold",
        "0.5 to 1 GiB of context";
    PrefillTokens = "prefill-tokens", 2048.0, [1.0, 1_048_576.0], "tokens",
        "tokens that prefill takes at once; activations scale with it",
        "the chunk of common engines";
    MostBatch = "most-batch", 256.0, [1.0, 65_536.0], "sequences",
        "most sequences that a server decodes together",
        "the limit of common engines";
    Peak = "peak", 2.0, [1.0, 100.0], "times",
        "busiest hour over the mean hour of a day",
        "usual for one time zone";
    Utilisation = "utilisation", 0.7, [0.05, 1.0], "share",
        "share of a GPU's time that is planned for",
        "room for queues and failures";
    Hours = "hours-a-month", 730.0, [1.0, 744.0], "hours",
        "hours of a month that are paid for",
        "365 x 24 / 12: reserved around the clock";
    LowLoad = "low-load", 0.5, [0.01, 1.0], "times",
        "the low scenario's load over the given one",
        "half as much comes";
    LowPrice = "low-price", 0.7, [0.01, 1.0], "times",
        "the low scenario's price over the given one",
        "the cheaper sellers of the price list";
    HighLoad = "high-load", 2.0, [1.0, 100.0], "times",
        "the high scenario's load over the given one",
        "twice as much comes";
    HighPrice = "high-price", 1.5, [1.0, 100.0], "times",
        "the high scenario's price over the given one",
        "the large clouds of the price list";
    Months = "months", 24.0, [1.0, 120.0], "months",
        "months that the chart of the saving shows",
        "a usual horizon";
    PriceAge = "price-age", 90.0, [0.0, 100_000.0], "days",
        "age from which on prices are called old",
        "prices move within months";
}

/// The values of all assumptions.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumptions {
    values: Vec<f64>,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { values: ASSUMED.iter().map(|row| row.default).collect() }
    }
}

impl Assumptions {
    /// One value.
    pub fn get(&self, assumed: Assumed) -> f64 {
        self.values[assumed as usize]
    }

    /// Whether a value is the usual one.
    pub fn is_usual(&self, assumed: Assumed) -> bool {
        self.get(assumed) == ASSUMED[assumed as usize].default
    }

    /// Changes one value; refuses one outside its range.
    pub fn set(&mut self, assumed: Assumed, value: f64) -> Result<()> {
        let AssumedRow { name, range: [low, high], unit, .. } = ASSUMED[assumed as usize];
        if !(low..=high).contains(&value) {
            return Err(Error::input(format!(
                "the assumption `{name}` must be {low} to {high} {unit}, not {value}"
            )));
        }
        self.values[assumed as usize] = value;
        Ok(())
    }

    /// Changes the value that a text such as `reach=0.8` names.
    pub fn set_by_text(&mut self, text: &str) -> Result<()> {
        let known = || ASSUMED.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let Some((name, value)) = text.split_once('=') else {
            return Err(Error::input(format!(
                "--assume {text}: expected NAME=VALUE such as reach=0.8; names are {}",
                known()
            )));
        };
        let Some(row) = ASSUMED.iter().find(|row| row.name == name.trim()) else {
            return Err(Error::input(format!(
                "--assume {text}: no assumption is called `{}`; names are {}",
                name.trim(),
                known()
            )));
        };
        let value: f64 = value.trim().parse().map_err(|_| {
            Error::input(format!("--assume {text}: `{}` is no number", value.trim()))
        })?;
        self.set(row.assumed, value)
    }

    /// All values as JSON objects: name, value, unit, what it is, why it is so, and the flag that
    /// changes it.
    pub fn json(&self) -> Vec<Value> {
        let row = |row: &AssumedRow| {
            json!({
                "name": row.name,
                "value": self.get(row.assumed),
                "unit": row.unit,
                "about": row.about,
                "source": if self.is_usual(row.assumed) { row.source } else { "given" },
                "change": format!("--assume {}=VALUE", row.name),
            })
        };
        ASSUMED.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_assumption_is_found_by_its_name_and_keeps_its_range() {
        let mut values = Assumptions::default();
        for (index, row) in ASSUMED.iter().enumerate() {
            assert_eq!(row.assumed as usize, index);
            let [low, high] = row.range;
            assert!((low..=high).contains(&row.default), "{}", row.name);
            values.set_by_text(&format!("{}={low}", row.name)).unwrap();
            assert_eq!(values.get(row.assumed), low);
            assert!(values.set_by_text(&format!("{}={}", row.name, high * 2.0 + 1.0)).is_err());
        }
        for wrong in ["reach", "reach=fast", "speed=0.8", "reach=NaN", "=1"] {
            assert!(values.set_by_text(wrong).is_err(), "{wrong}");
        }
    }
}
