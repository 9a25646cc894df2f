//! Whether a mask suits a text, in plain words.

use serde::Serialize;

use crate::eval::text::{MeanError, ScoredLosses};
use crate::numbers::nats;

/// A mask loses this many times what the text's own choice of channels loses before learning on the
/// text is advised.
const LEARN_FROM: f64 = 2.0;

/// A mask loses this many nats more than the text's own choice before learning on the text is advised,
/// whatever that loses itself.
const LEARN_BEYOND: f64 = 0.1;

/// Standard errors that a difference must be from 0.
const ERRORS: f64 = 2.0;

/// How a mask suits a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainFit {
    /// The text's own choice of channels loses no less.
    Fits,
    /// The text's own choice loses less, but more than half as much and not 0.1 nats less.
    FitsWithLoss,
    /// The text's own choice loses less than half as much, or over 0.1 nats less.
    LearnOnIt,
    /// Every channel of a head has the same width.
    NothingToChoose,
}

/// A mask on one text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainVerdict {
    /// The text.
    pub domain: String,
    /// How the mask suits it.
    pub fit: DomainFit,
    /// Mean KLD with this mask, nats.
    pub kld: f64,
    /// Mean KLD with the channels that this text itself chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_kld: Option<f64>,
    /// What this mask loses more, and its standard error over positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<[f64; 2]>,
    /// The verdict in words.
    pub sentence: String,
}

impl DomainVerdict {
    /// Compares a mask's losses with those of the text's own choice, position by position.
    pub(super) fn of(domain: &str, mask: &ScoredLosses, own: Option<&ScoredLosses>) -> Self {
        let kld = MeanError::of(&mask.kld).mean;
        let Some(own) = own else {
            return Self {
                domain: domain.to_owned(),
                fit: DomainFit::NothingToChoose,
                kld,
                own_kld: None,
                difference: None,
                sentence: "nothing to choose: one width per head".to_owned(),
            };
        };
        let own_kld = MeanError::of(&own.kld).mean;
        let differences: Vec<f64> = mask.kld.iter().zip(&own.kld).map(|(a, b)| a - b).collect();
        let more = MeanError::of(&differences);
        let fit = match more.mean {
            mean if mean <= ERRORS * more.error || mean <= 0.0 => DomainFit::Fits,
            mean if mean > LEARN_BEYOND || kld > LEARN_FROM * own_kld => DomainFit::LearnOnIt,
            _ => DomainFit::FitsWithLoss,
        };
        let sentence = match fit {
            DomainFit::FitsWithLoss => format!("fits with a loss of {} nats", nats(more.mean)),
            DomainFit::LearnOnIt => format!(
                "learn on it: its own channels lose {} nats, this mask's {}",
                nats(own_kld),
                nats(kld)
            ),
            _ => "fits".to_owned(),
        };
        Self {
            domain: domain.to_owned(),
            fit,
            kld,
            own_kld: Some(own_kld),
            difference: Some([more.mean, more.error]),
            sentence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(kld: &dyn Fn(usize) -> f64) -> ScoredLosses {
        ScoredLosses { kld: (0..100).map(kld).collect(), ..ScoredLosses::default() }
    }

    #[test]
    fn a_verdict_weighs_the_text_s_own_choice() {
        let own = losses(&|at| 0.01 + 0.001 * (at % 5) as f64);
        let fit = |kld: &dyn Fn(usize) -> f64| DomainVerdict::of("x", &losses(kld), Some(&own));
        assert_eq!(fit(&|at| 0.02 - 0.0001 * (at % 7) as f64).fit, DomainFit::FitsWithLoss);
        assert_eq!(fit(&|_| 0.03).fit, DomainFit::LearnOnIt);
        let bad = losses(&|_| 1.0);
        let worse =
            DomainVerdict::of("x", &losses(&|at| 1.1 + 0.001 * (at % 9) as f64), Some(&bad));
        assert_eq!(worse.fit, DomainFit::LearnOnIt, "a tenth of a nat more");
        assert_eq!(fit(&|_| 0.005).fit, DomainFit::Fits, "less than its own choice");
        // 0.0005 more on average, but one position makes all of it.
        let one = |at: usize| 0.01 + 0.001 * (at % 5) as f64 + if at == 50 { 0.05 } else { 0.0 };
        assert_eq!(fit(&one).fit, DomainFit::Fits, "within twice the error");
        let sentence = fit(&|_| 0.02).sentence;
        assert_eq!(sentence, "fits with a loss of 0.0080 nats");
        assert_eq!(DomainVerdict::of("x", &own, None).fit, DomainFit::NothingToChoose);
    }
}
