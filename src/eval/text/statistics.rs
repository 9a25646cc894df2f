//! The figures of `llama-perplexity --kl-divergence`, by its names and definitions.

use serde::Serialize;

use super::measure::ChunkLosses;

/// Values of all scored positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoredLosses {
    /// KL(base || mask), nats.
    pub kld: Vec<f64>,
    /// Negative log-probability of the next token under the base, nats.
    pub nll_base: Vec<f64>,
    /// The same under the mask.
    pub nll: Vec<f64>,
    /// Whether both put the same token first.
    pub same: Vec<bool>,
}

impl ScoredLosses {
    /// Adds the positions of a chunk.
    pub fn extend(&mut self, chunk: &ChunkLosses) {
        let wide =
            |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        self.kld.extend(wide(&chunk.kld));
        self.nll_base.extend(wide(&chunk.nll_base));
        self.nll.extend(wide(&chunk.nll));
        self.same.extend(chunk.same.chars().map(|same| same == '1'));
    }
}

/// A mean and its standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MeanError {
    /// The mean.
    pub mean: f64,
    /// Its standard error; 0 for ten values or fewer.
    pub error: f64,
}

impl MeanError {
    /// Of these values.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| value * value).sum::<f64>() / n;
        let error = match values.len() > 10 {
            true => ((squares - mean * mean).max(0.0) / (n - 1.0)).sqrt(),
            false => 0.0,
        };
        Self { mean, error }
    }
}

/// Shares at which divergences are reported, largest first.
const KLD_SHARES: [f64; 9] = [0.999, 0.99, 0.95, 0.9, 0.5, 0.1, 0.05, 0.01, 0.001];
/// Shares at which changes of probability are reported, largest first.
const P_SHARES: [f64; 11] = [0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001];

/// The three blocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KlStatistics {
    /// Scored positions.
    pub positions: usize,
    /// Perplexity under the mask.
    pub ppl: MeanError,
    /// Perplexity under the base.
    pub ppl_base: MeanError,
    /// Correlation of the two logarithms, 0 to 1.
    pub correlation: f64,
    /// Logarithm of their ratio.
    pub ln_ratio: MeanError,
    /// Their ratio.
    pub ratio: MeanError,
    /// Their difference.
    pub difference: MeanError,
    /// KL(base || mask), nats.
    pub kld: MeanError,
    /// Largest and smallest divergence.
    pub kld_range: [f64; 2],
    /// Divergence at 99.9, 99, 95, 90, 50, 10, 5, 1 and 0.1 %.
    pub kld_percentiles: [f64; 9],
    /// Change of the next token's probability, in per cent.
    pub delta_p: MeanError,
    /// Largest and smallest change, in per cent.
    pub delta_p_range: [f64; 2],
    /// Change at 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1 and 0.1 %, in per cent.
    pub delta_p_percentiles: [f64; 11],
    /// Root mean square change, in per cent.
    pub rms_delta_p: MeanError,
    /// Positions where both put the same token first, in per cent.
    pub same_top: MeanError,
}

/// The value at a share of sorted ones, linear between neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = at - below as f64;
    (1.0 - part) * sorted[below] + part * sorted[above]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

impl KlStatistics {
    /// The figures of these positions; `None` where there are none.
    pub fn of(losses: &ScoredLosses) -> Option<Self> {
        let n = losses.kld.len();
        if n == 0 {
            return None;
        }
        let (nll, base) = (MeanError::of(&losses.nll), MeanError::of(&losses.nll_base));
        let products: f64 =
            losses.nll.iter().zip(&losses.nll_base).map(|(a, b)| a * b).sum::<f64>() / n as f64;
        let covariance = match n > 10 {
            true => (products - nll.mean * base.mean) / (n as f64 - 1.0),
            false => 0.0,
        };
        let variance = nll.error.powi(2) + base.error.powi(2) - 2.0 * covariance;
        let ln_ratio = MeanError { mean: nll.mean - base.mean, error: variance.max(0.0).sqrt() };
        let ppl = |nll: MeanError| {
            let mean = nll.mean.exp();
            MeanError { mean, error: mean * nll.error }
        };
        let (ppl, ppl_base) = (ppl(nll), ppl(base));
        let spread = ppl.error.powi(2) + ppl_base.error.powi(2)
            - 2.0 * ppl.mean * ppl_base.mean * covariance;
        let ratio = ln_ratio.mean.exp();
        let correlation = match nll.error * base.error {
            // Equal values at every position leave nothing to correlate.
            0.0 => 1.0,
            product => covariance / product,
        };
        let changes: Vec<f64> = losses
            .nll
            .iter()
            .zip(&losses.nll_base)
            .map(|(own, base)| (-own).exp() - (-base).exp())
            .collect();
        let kld = sorted(&losses.kld);
        let delta_p = sorted(&changes);
        let squares = MeanError::of(&changes.iter().map(|p| p * p).collect::<Vec<_>>());
        let rms = squares.mean.sqrt();
        let per_cent =
            |value: MeanError| MeanError { mean: 100.0 * value.mean, error: 100.0 * value.error };
        let same = losses.same.iter().filter(|same| **same).count() as f64 / n as f64;
        Some(Self {
            positions: n,
            ppl,
            ppl_base,
            correlation,
            ln_ratio,
            ratio: MeanError { mean: ratio, error: ratio * ln_ratio.error },
            difference: MeanError { mean: ppl.mean - ppl_base.mean, error: spread.max(0.0).sqrt() },
            kld: MeanError::of(&losses.kld),
            kld_range: [kld[n - 1], kld[0]],
            kld_percentiles: KLD_SHARES.map(|share| percentile(&kld, share)),
            delta_p: per_cent(MeanError::of(&changes)),
            delta_p_range: [100.0 * delta_p[n - 1], 100.0 * delta_p[0]],
            delta_p_percentiles: P_SHARES.map(|share| 100.0 * percentile(&delta_p, share)),
            rms_delta_p: per_cent(MeanError {
                mean: rms,
                error: if rms > 0.0 { 0.5 / rms * squares.error } else { 0.0 },
            }),
            same_top: per_cent(MeanError {
                mean: same,
                error: if n > 1 { (same * (1.0 - same) / (n as f64 - 1.0)).sqrt() } else { 0.0 },
            }),
        })
    }

    /// The three blocks as llama-perplexity prints them.
    pub fn blocks(&self) -> String {
        let wide = |value: MeanError| format!("{:>10.6} ± {:>10.6}", value.mean, value.error);
        let narrow = |value: MeanError| format!("{:>6.3} ± {:>5.3} %", value.mean, value.error);
        let mut lines = vec![
            "====== Perplexity statistics ======".to_owned(),
            format!("Mean PPL(Q)                   : {}", wide(self.ppl)),
            format!("Mean PPL(base)                : {}", wide(self.ppl_base)),
            format!("Cor(ln(PPL(Q)), ln(PPL(base))): {:>6.2}%", 100.0 * self.correlation),
            format!("Mean ln(PPL(Q)/PPL(base))     : {}", wide(self.ln_ratio)),
            format!("Mean PPL(Q)/PPL(base)         : {}", wide(self.ratio)),
            format!("Mean PPL(Q)-PPL(base)         : {}", wide(self.difference)),
            String::new(),
            "====== KL divergence statistics ======".to_owned(),
            format!("Mean    KLD: {}", wide(self.kld)),
            format!("Maximum KLD: {:>10.6}", self.kld_range[0]),
        ];
        let named = |share: f64| match share {
            0.5 => "Median ".to_owned(),
            share => format!("{:>4.1}%  ", 100.0 * share),
        };
        for (share, value) in KLD_SHARES.iter().zip(self.kld_percentiles) {
            lines.push(format!("{} KLD: {value:>10.6}", named(*share)));
        }
        lines.extend([
            format!("Minimum KLD: {:>10.6}", self.kld_range[1]),
            String::new(),
            "====== Token probability statistics ======".to_owned(),
            format!("Mean    Δp: {}", narrow(self.delta_p)),
            format!("Maximum Δp: {:>6.3}%", self.delta_p_range[0]),
        ]);
        for (share, value) in P_SHARES.iter().zip(self.delta_p_percentiles) {
            lines.push(format!("{} Δp: {value:>6.3}%", named(*share)));
        }
        lines.extend([
            format!("Minimum Δp: {:>6.3}%", self.delta_p_range[1]),
            format!("RMS Δp    : {}", narrow(self.rms_delta_p)),
            format!("Same top p: {}", narrow(self.same_top)),
        ]);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_their_definitions() {
        let n = 101;
        let losses = ScoredLosses {
            kld: (0..n).map(|at| f64::from(at) / 100.0).collect(),
            nll_base: (0..n).map(|at| 1.0 + f64::from(at % 3)).collect(),
            nll: (0..n).map(|at| 1.5 + f64::from(at % 3)).collect(),
            same: (0..n).map(|at| at % 4 != 0).collect(),
        };
        let found = KlStatistics::of(&losses).unwrap();
        assert!((found.ln_ratio.mean - 0.5).abs() < 1e-12 && found.ln_ratio.error < 1e-6);
        assert!((found.correlation - 1.0).abs() < 1e-9);
        assert!((found.ratio.mean - 0.5_f64.exp()).abs() < 1e-12);
        assert!((found.kld.mean - 0.5).abs() < 1e-12);
        // The mean of squares of 0 to 1 in 101 steps is 0.335.
        assert!((found.kld.error - ((0.335 - 0.25) / 100.0_f64).sqrt()).abs() < 1e-12);
        let exact = [0.999, 0.99, 0.95, 0.9, 0.5, 0.1, 0.05, 0.01, 0.001];
        for (found, exact) in found.kld_percentiles.iter().zip(exact) {
            assert!((found - exact).abs() < 1e-12);
        }
        let share = 75.0 / 101.0;
        assert!((found.same_top.mean - 100.0 * share).abs() < 1e-9);
        assert!(found.delta_p.mean < 0.0 && found.rms_delta_p.mean > -found.delta_p.mean);
        assert_eq!(KlStatistics::of(&ScoredLosses::default()), None);
    }

    #[test]
    fn blocks_have_the_names_and_widths_of_the_original() {
        let one = ScoredLosses {
            kld: vec![0.0; 12],
            nll: vec![1.0; 12],
            nll_base: vec![1.0; 12],
            same: vec![true; 12],
        };
        let text = KlStatistics::of(&one).unwrap().blocks();
        for line in [
            "Mean PPL(Q)                   :   2.718282 ±   0.000000",
            "Cor(ln(PPL(Q)), ln(PPL(base))): 100.00%",
            "Mean    KLD:   0.000000 ±   0.000000",
            "99.9%   KLD:   0.000000",
            " 5.0%   KLD:   0.000000",
            "Median  KLD:   0.000000",
            "75.0%   Δp:  0.000%",
            "RMS Δp    :  0.000 ± 0.000 %",
            "Same top p: 100.000 ± 0.000 %",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert_eq!(text.lines().count(), 39);
    }
}
