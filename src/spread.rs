//! Summaries of a list of measurements: median, mean and quantiles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The middle value (the mean of the two middle ones), reordering `values`.
///
/// # Panics
/// When there are none, or one is not a number.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(|a, b| a.partial_cmp(b).expect("times are numbers"));
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[half - 1] + values[half]) / 2.0
    } else {
        values[half]
    }
}

/// Median of times in milliseconds; 0 where there are none.
pub fn median_ms(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    if times.is_empty() { 0.0 } else { median(&mut times) }
}

/// What the 99.9th percentile is called.
pub const P999: &str = "99.9 %";

/// What the 99.9th percentile of `n` values is called: of fewer than 1,000 it is the largest.
pub fn p999_name(n: usize) -> &'static str {
    if n < 1_000 { "max" } else { P999 }
}

/// What the 99th percentile of `n` values is called: of fewer than 100 it is the largest.
pub fn p99_name(n: usize) -> &'static str {
    if n < 100 { "max" } else { "p99" }
}

/// Mean, standard error of the mean, and quantiles of a list of values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation over the square root of the number of values.
    pub stderr: f64,
    /// 50th percentile, the nearest value from above.
    pub p50: f64,
    /// 99th percentile, the nearest value from above.
    pub p99: f64,
    /// 99.9th percentile, the nearest value from above; recordings of before have none.
    #[serde(default)]
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Summarises these times, in milliseconds.
    pub fn of_times<'a>(times: impl IntoIterator<Item = &'a Duration>) -> Self {
        Self::of(times.into_iter().map(|time| time.as_secs_f64() * 1e3))
    }

    /// Summarises these values; all zero where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return Self::default();
        }
        values.sort_unstable_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = if values.len() > 1 {
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)
        } else {
            0.0
        };
        let rank = |share: f64| values[((share * n).ceil() as usize).clamp(1, values.len()) - 1];
        Self {
            mean,
            stderr: (variance / n).sqrt(),
            p50: rank(0.5),
            p99: rank(0.99),
            p999: rank(0.999),
            max: values[values.len() - 1],
        }
    }
}

/// The median of some values, and the interval that holds the true median 95 times of 100.
///
/// The ends are order statistics, so that neither a few slow steps nor the shape of the
/// distribution matters (Conover, Practical Nonparametric Statistics, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MedianInterval {
    /// The median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl MedianInterval {
    /// Fewest values that have one: even the smallest and the largest of five miss the true median
    /// more often than five times of 100.
    pub const LEAST: usize = 6;

    /// That of these values; `None` for fewer than [`Self::LEAST`].
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.len() < Self::LEAST {
            return None;
        }
        let median = median(&mut values);
        let (n, last) = (values.len() as f64, values.len() - 1);
        // Ranks, counted from 0.
        let low = (((n - 1.96 * n.sqrt()) / 2.0).floor() as usize).max(1) - 1;
        let high = (((n + 1.96 * n.sqrt()) / 2.0).ceil() as usize).min(last);
        Some(Self { median, low: values[low], high: values[high] })
    }

    /// Whether the true median may be this.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Distance of the farther end from the median.
    pub fn half(&self) -> f64 {
        (self.high - self.median).max(self.median - self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!((median(&mut [3.0, 1.0, 2.0]), median(&mut [4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        let times = [1, 4, 2, 3].map(Duration::from_millis);
        assert_eq!((median_ms(&times), median_ms(&[])), (2.5, 0.0));
    }

    /// How often it holds the true median of numbers that are drawn at random.
    #[test]
    fn an_interval_of_the_median_holds_it_nineteen_times_of_twenty() {
        assert_eq!(MedianInterval::of([1.0; 5]), None);
        let six = MedianInterval::of([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]).expect("enough");
        assert_eq!((six.median, six.low, six.high, six.half()), (3.5, 1.0, 6.0, 2.5));
        assert!(six.holds(1.0) && !six.holds(6.1));
        let mut random = crate::random::SplitMix64::new(7);
        let mut uniform = || (random.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        for n in [6, 20, 64, 65] {
            let mut held = 0;
            for _ in 0..2_000 {
                // Far from symmetric: the median of u³ is 1/8.
                let values: Vec<f64> = (0..n).map(|_| uniform().powi(3)).collect();
                held += usize::from(MedianInterval::of(values).expect("enough").holds(0.125));
            }
            assert!((1_880..=1_980).contains(&held), "{held} of 2000 for {n}");
        }
    }

    #[test]
    fn a_percentile_is_called_the_largest_value_exactly_where_it_is() {
        for n in [1, 60, 99, 100, 101, 998, 999, 1_000, 1_001, 3_000] {
            let spread = Spread::of((0..n).map(|value| value as f64));
            assert_eq!(p99_name(n) == "max", spread.p99 == spread.max, "p99 of {n}");
            assert_eq!(p999_name(n) == "max", spread.p999 == spread.max, "p99.9 of {n}");
        }
    }

    #[test]
    fn spread_of_known_values() {
        let spread = Spread::of((1..=100).map(f64::from));
        assert_eq!((spread.mean, spread.p50, spread.p99, spread.max), (50.5, 50.0, 99.0, 100.0));
        assert_eq!((spread.p999, Spread::of((1..=2000).map(f64::from)).p999), (100.0, 1998.0));
        assert!((spread.stderr - 2.901_149_197_588_202).abs() < 1e-12);
        assert_eq!(Spread::of([]), Spread::default());
    }
}
