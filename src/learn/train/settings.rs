//! All settings of a training.

use crate::learn::engine::DistillLoss;
use crate::mask::Window;
use crate::mask::select::{ALIGNMENTS, Options};
use crate::{Error, Result};

/// All settings of a training.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Share of channels to prune.
    pub sparsity: f64,
    /// Kept counts per head come in multiples of this.
    pub align: usize,
    /// Sink, recent and chunk, as in deployment.
    pub window: Window,
    /// Seed of data and order.
    pub seed: u64,
    /// Updates of stage 1, one sample each.
    pub steps: usize,
    /// Learning rate of stage 1.
    pub lr: f64,
    /// Weight of the mean factor in the loss.
    pub reg: f64,
    /// Updates of stage 2; 0 by default, since they gained nothing (docs/RESULTS.md).
    pub mask_steps: usize,
    /// Samples whose gradients are averaged in one update of stage 2.
    pub accumulate: usize,
    /// Learning rate of stage 2.
    pub mask_lr: f64,
    /// Deviations from the default method.
    #[serde(default)]
    pub variant: Variant,
}

/// Other ways to learn, for comparison with the defaults (docs/RESULTS.md has the comparison that
/// the defaults were chosen from).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Variant {
    /// Keep and prune both channels of a rotation pair together.
    pub pair_closed: bool,
    /// Round every factor to bf16 after each update, as if it were a parameter of a bf16 model.
    pub bf16: bool,
    /// Stage 2 as in the LeanK authors' code: kept channels are multiplied by their factor and not
    /// by 1, a head that keeps no channel still sees its middle with scores of 0, and the last mask
    /// is taken without validation.
    pub authors: bool,
    /// What both stages are pulled towards.
    #[serde(default)]
    pub loss: DistillLoss,
}

impl Settings {
    /// Defaults found by experiment: regularisation and steps depend on the target, so that the
    /// mean factor ends near the share to keep and the cut separates the factors well.
    pub fn for_sparsity(sparsity: f64) -> Self {
        const REG: [(f64, f64); 4] = [(0.5, 0.06), (0.7, 0.20), (0.8, 0.40), (0.9, 0.80)];
        let between = |pair: &[(f64, f64)]| {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            (x0..=x1).contains(&sparsity).then(|| y0 * (y1 / y0).powf((sparsity - x0) / (x1 - x0)))
        };
        let edge = if sparsity < 0.5 { REG[0].1 } else { REG[3].1 };
        Self {
            sparsity,
            align: crate::mask::files::DEFAULT_ALIGN,
            window: Window::default(),
            seed: 0,
            steps: if sparsity <= 0.5 { 150 } else { 250 },
            lr: 0.02,
            reg: REG.windows(2).find_map(between).unwrap_or(edge),
            mask_steps: 0,
            accumulate: 4,
            mask_lr: 0.002,
            variant: Variant::default(),
        }
    }

    /// How the mask is cut from importance.
    pub fn options(&self) -> Options {
        Options { pair_closed: self.variant.pair_closed, ..Options::new(self.sparsity, self.align) }
    }

    /// Refuses values that training does not work with.
    pub fn check(&self) -> Result<()> {
        self.window.check()?;
        if !(self.sparsity > 0.0 && self.sparsity < 1.0) {
            return Err(Error::input(format!(
                "--sparsity must lie between 0 and 1, not {}",
                self.sparsity
            )));
        }
        let positive = [("--lr", self.lr), ("--reg", self.reg), ("--mask-lr", self.mask_lr)];
        if let Some((name, value)) =
            positive.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0))
        {
            return Err(Error::input(format!(
                "{name} must be a number of at least 0, not {value}"
            )));
        }
        if self.steps > 0 && self.lr == 0.0 {
            return Err(Error::input("--lr must be above 0: at 0 no channel is told from another"));
        }
        if !ALIGNMENTS.contains(&self.align) {
            return Err(Error::input(format!(
                "--align must be 1, 2, 4, 8, 16 or 32, not {}",
                self.align
            )));
        }
        if self.accumulate == 0 {
            return Err(Error::input("--accumulate must be at least 1, not 0"));
        }
        Ok(())
    }
}
