//! What stands between the second norm of a block and its end: one gated MLP, or experts.

use super::linear::{ForRows, Linear};
use super::matrix::Matrix;
use super::routing::{ExpertRows, Routing};
use crate::Result;
use crate::model::activation::Activation;

/// The MLP of a layer, or its experts.
#[derive(Debug)]
pub enum FeedForward {
    /// One MLP.
    Whole(Mlp),
    /// Experts, of which each token goes through some.
    Experts(Experts),
}

/// A gated MLP.
#[derive(Debug)]
pub struct Mlp {
    /// gate and up rows under one another, `[2 width, hidden]`.
    pub gate_up: Linear,
    /// `[hidden, width]`.
    pub down: Linear,
}

/// Experts and what chooses among them.
#[derive(Debug)]
pub struct Experts {
    /// `[experts, hidden]`.
    pub router: Linear,
    /// The experts.
    pub each: Vec<Mlp>,
    /// How many of them a token goes through.
    pub chosen: usize,
    /// Whether their weights add up to 1.
    pub normalised: bool,
}

/// Buffers that a step writes and reads again.
#[derive(Debug, Default)]
pub struct FeedScratch {
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    /// Rows that go through one expert, and what it makes of them.
    rows: Vec<f32>,
    added: Vec<f32>,
}

/// The first `len` entries of a buffer, which grows to hold them.
fn grown(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

impl FeedForward {
    /// What is added to the residual stream for a few rows of a decode step, over the stored
    /// weights: from `x` to `out`, both `[rows, hidden]`. A row's result does not depend on the
    /// others.
    pub fn apply(
        &self,
        activation: Activation,
        x: &[f32],
        scratch: &mut FeedScratch,
        out: &mut [f32],
    ) {
        let FeedScratch { gate_up, gated, rows, added } = scratch;
        match self {
            Self::Whole(mlp) => mlp.apply(activation, x, [gate_up, gated], out),
            Self::Experts(experts) => {
                let hidden = experts.router.weight.cols();
                let mut scores = vec![0.0; x.len() / hidden * experts.each.len()];
                // Over f32 activations: rounding them could choose another expert.
                experts.router.apply_exact(x, &mut scores);
                out.fill(0.0);
                for part in experts.route(scores).parts {
                    let len = part.rows.len() * hidden;
                    let (rows, added) = (grown(rows, len), grown(added, len));
                    part.gather(x, hidden, rows);
                    let buffers = [&mut *gate_up, &mut *gated];
                    experts.each[part.expert].apply(activation, rows, buffers, added);
                    part.scatter(added, hidden, 0, out);
                }
            }
        }
    }

    /// All linear layers, in a fixed order.
    pub fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Whole(mlp) => mlp.linears().to_vec(),
            Self::Experts(experts) => std::iter::once(&experts.router)
                .chain(experts.each.iter().flat_map(Mlp::linears))
                .collect(),
        }
    }

    /// The matrices of all linear layers.
    pub fn matrices_mut(&mut self) -> Vec<&mut Matrix> {
        match self {
            Self::Whole(mlp) => mlp.matrices_mut().into(),
            Self::Experts(experts) => std::iter::once(&mut experts.router.weight)
                .chain(experts.each.iter_mut().flat_map(Mlp::matrices_mut))
                .collect(),
        }
    }

    /// Bytes of the matrices that a decode step of one sequence reads.
    pub fn step_bytes(&self) -> usize {
        match self {
            Self::Whole(mlp) => mlp.bytes(),
            Self::Experts(experts) => {
                // Experts of one layer may be stored in different types.
                let all: usize = experts.each.iter().map(Mlp::bytes).sum();
                experts.router.weight.bytes() + all * experts.chosen / experts.each.len()
            }
        }
    }
}

impl Mlp {
    /// Width of the gate.
    pub fn width(&self) -> usize {
        self.down.weight.cols()
    }

    /// The MLP over `x` of a few rows, `[rows, hidden]`.
    fn apply(
        &self,
        activation: Activation,
        x: &[f32],
        [gate_up, gated]: [&mut Vec<f32>; 2],
        out: &mut [f32],
    ) {
        let (width, rows) = (self.width(), x.len() / self.gate_up.weight.cols());
        let (gate_up, gated) = (grown(gate_up, 2 * rows * width), grown(gated, rows * width));
        self.gate_up.apply(x, gate_up);
        activation.gate(gate_up, width, gated);
        self.down.apply(gated, out);
    }

    /// Ready for about so many rows of f32 activations.
    pub fn for_rows(&self, rows: usize) -> Result<MlpForRows<'_>> {
        let (gate_up, down) = (self.gate_up.for_rows(rows)?, self.down.for_rows(rows)?);
        Ok(MlpForRows { width: self.width(), gate_up, down })
    }

    fn linears(&self) -> [&Linear; 2] {
        [&self.gate_up, &self.down]
    }

    fn matrices_mut(&mut self) -> [&mut Matrix; 2] {
        [&mut self.gate_up.weight, &mut self.down.weight]
    }

    fn bytes(&self) -> usize {
        self.linears().into_iter().map(|linear| linear.weight.bytes()).sum()
    }
}

/// An MLP over f32 activations.
pub struct MlpForRows<'a> {
    width: usize,
    gate_up: ForRows<'a>,
    down: ForRows<'a>,
}

impl MlpForRows<'_> {
    /// The MLP over `x`, `[rows, hidden]`; with it, gate and up, `[rows, 2 width]`.
    pub fn apply(&self, activation: Activation, x: &[f32]) -> Result<[Vec<f32>; 2]> {
        let gate_up = self.gate_up.apply(x)?;
        let mut gated = vec![0.0; gate_up.len() / 2];
        activation.gate(&gate_up, self.width, &mut gated);
        Ok([self.down.apply(&gated)?, gate_up])
    }
}

impl Experts {
    /// The experts of every row, from the router's scores, `[rows, experts]`.
    fn route(&self, scores: Vec<f32>) -> Routing {
        Routing::new(scores, self.each.len(), self.chosen, self.normalised)
    }

    /// What is added for many rows, `[rows, hidden]`. Rows are sorted by expert, so that each expert
    /// is widened at most once; it gets `piece` rows at a time, and `observe` their gate and up, `[rows,
    /// 2 width]`, and their number, expert by expert. Without `piece` it gets all rows and is widened
    /// however few they are, as learning does, whose way back needs it widened.
    pub fn apply_wide(
        &self,
        activation: Activation,
        x: &[f32],
        piece: Option<usize>,
        observe: &mut dyn FnMut(Vec<f32>, usize) -> Result<()>,
    ) -> Result<(Vec<f32>, Routing)> {
        let hidden = self.router.weight.cols();
        let about = |rows: usize| piece.map_or(usize::MAX, |piece| rows.min(piece));
        let routing = self.route(self.router.for_rows(about(x.len() / hidden))?.apply(x)?);
        let piece = piece.unwrap_or(usize::MAX);
        let mut out = vec![0.0; x.len()];
        for part in &routing.parts {
            let mut own = vec![0.0; part.rows.len() * hidden];
            part.gather(x, hidden, &mut own);
            let mlp = self.each[part.expert].for_rows(about(part.rows.len()))?;
            for (at, rows) in own.chunks(piece.saturating_mul(hidden)).enumerate() {
                let [added, gate_up] = mlp.apply(activation, rows)?;
                part.scatter(&added, hidden, at * piece, &mut out);
                observe(gate_up, rows.len() / hidden)?;
            }
        }
        Ok((out, routing))
    }
}

impl ExpertRows {
    /// Its rows of `x`, `[rows, hidden]`, one after the other.
    pub fn gather(&self, x: &[f32], hidden: usize, own: &mut [f32]) {
        for (own, &row) in own.chunks_exact_mut(hidden).zip(&self.rows) {
            own.copy_from_slice(&x[row * hidden..][..hidden]);
        }
    }

    /// Adds what the expert makes of its rows from number `first` on, times their weights.
    fn scatter(&self, own: &[f32], hidden: usize, first: usize, out: &mut [f32]) {
        let taken = self.rows.iter().zip(&self.weights).skip(first);
        for (own, (&row, weight)) in own.chunks_exact(hidden).zip(taken) {
            for (out, own) in out[row * hidden..][..hidden].iter_mut().zip(own) {
                *out += weight * own;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::matrix::Elements;

    const HIDDEN: usize = 12;
    const WIDTH: usize = 8;

    fn linear(rows: usize, cols: usize, value: impl Fn(usize) -> f32) -> Linear {
        let elements: Vec<f32> = (0..rows * cols).map(value).collect();
        let weight = Matrix::new(rows, cols, Elements::F32(elements.into())).unwrap();
        Linear { weight, bias: None }
    }

    fn wave(seed: usize) -> impl Fn(usize) -> f32 {
        move |at| ((at * 37 + seed * 101) as f32 * 0.618).sin() * 0.5
    }

    fn mlp(value: impl Fn(usize) -> f32 + Copy) -> Mlp {
        Mlp { gate_up: linear(2 * WIDTH, HIDDEN, value), down: linear(HIDDEN, WIDTH, value) }
    }

    /// Four experts, of which the last is never taken and has no numbers.
    fn experts() -> Experts {
        // Every score of the last is below all others for inputs above 0.
        let router = linear(4, HIDDEN, |at| if at < 3 * HIDDEN { wave(9)(at) } else { -10.0 });
        let mut each: Vec<Mlp> = (0..3).map(|seed| mlp(&wave(seed))).collect();
        each.push(mlp(|_| f32::NAN));
        Experts { router, each, chosen: 2, normalised: true }
    }

    #[test]
    fn a_step_reads_the_chosen_experts_alone_and_rows_do_not_depend_on_others() {
        let feed = FeedForward::Experts(experts());
        let x: Vec<f32> = (0..7 * HIDDEN).map(|at| wave(4)(at) + 0.6).collect();
        let apply = |x: &[f32]| {
            let mut out = vec![f32::NAN; x.len()];
            feed.apply(Activation::Silu, x, &mut FeedScratch::default(), &mut out);
            out
        };
        let together = apply(&x);
        let alone: Vec<f32> = x.chunks(HIDDEN).flat_map(apply).collect();
        assert_eq!(together, alone);
        assert!(together.iter().all(|x| x.is_finite()));
        let FeedForward::Experts(experts) = &feed else { panic!() };
        for piece in [Some(1), Some(3), None] {
            let mut rows = 0;
            let (wide, routing) = experts
                .apply_wide(Activation::Silu, &x, piece, &mut |gate_up, count| {
                    assert_eq!(gate_up.len(), count * 2 * WIDTH);
                    rows += count;
                    Ok(())
                })
                .unwrap();
            assert_eq!(rows, 14, "each of seven rows goes through two experts");
            assert!(routing.parts.len() == 3, "all but the last are taken by some row");
            let worst = wide.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{worst}");
        }
    }

    #[test]
    fn a_step_reads_its_share_of_the_experts_bytes() {
        let one = (2 * WIDTH * HIDDEN + HIDDEN * WIDTH) * 4;
        assert_eq!(FeedForward::Experts(experts()).step_bytes(), 4 * HIDDEN * 4 + 2 * one);
        assert_eq!(FeedForward::Whole(mlp(&wave(1))).step_bytes(), one);
    }
}
