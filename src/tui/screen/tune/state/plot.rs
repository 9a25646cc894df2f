//! Data of the plot: loss against bytes or time, for the points of the sweep and for the masks in
//! use, set and saved.

use crate::decode::worker::event::Measured;
use crate::tui::app::model::ModelView;
use crate::tui::paint::number;
use crate::tui::screen::tune::state::{Against, Freshness, PointKind, Tuning, is_comparable};
use crate::tui::widget::BELOW;

/// A position: bytes or time over dense's, and KLD where it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlotPoint {
    /// Bytes of the cache at the target context, or the time of a step over that of a dense step.
    pub x: f64,
    /// Mean KLD in nats; `None` where it is not measured.
    pub y: Option<f64>,
}

/// A point of the sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Number of its trial.
    pub id: u64,
    /// What it is.
    pub kind: PointKind,
    /// Its position.
    pub place: PlotPoint,
}

/// The places that no other place beats: none has as little of x and as little loss. From left to
/// right, so the loss falls.
pub fn front(places: impl Iterator<Item = PlotPoint>) -> Vec<(f64, f64)> {
    let mut known: Vec<(f64, f64)> =
        places.filter_map(|place| Some((place.x, place.y?))).filter(|at| at.1 >= 0.0).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut front: Vec<(f64, f64)> = Vec::new();
    for place in known {
        if front.last().is_none_or(|last| place.1 < last.1) {
            front.push(place);
        }
    }
    front
}

/// Everything on the plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The measured points of the sweep, from left to right.
    pub spots: Vec<Spot>,
    /// The mask in use.
    pub now: Option<PlotPoint>,
    /// The set mask, where it differs from the one in use.
    pub proposed: Option<PlotPoint>,
    /// The saved mask.
    pub saved: Option<PlotPoint>,
    /// Whether the mask in use was measured, but over other tokens than the points.
    pub over_others: bool,
    /// The same of the saved mask.
    pub saved_over_others: bool,
}

impl Plot {
    /// A plot of these places alone.
    pub fn of(places: Vec<PlotPoint>) -> Self {
        let spot = |place| Spot { id: 0, kind: PointKind::Own, place };
        let spots = places.into_iter().map(spot).collect();
        Self {
            spots,
            now: None,
            proposed: None,
            saved: None,
            over_others: false,
            saved_over_others: false,
        }
    }

    /// All positions.
    pub fn places(&self) -> impl Iterator<Item = PlotPoint> {
        let named = [self.now, self.proposed, self.saved].into_iter().flatten();
        self.spots.iter().map(|spot| spot.place).chain(named)
    }

    /// Range of x with a margin; `None` where there are no points. Points of about the same size have
    /// so much beside them that the labels of the axis differ.
    pub fn x_range(&self) -> Option<(f64, f64)> {
        let low = self.places().map(|place| place.x).min_by(f64::total_cmp)?;
        let high = self.places().map(|place| place.x).max_by(f64::total_cmp)?;
        let margin = ((high - low) * 0.04).max(high * 0.04).max(f64::MIN_POSITIVE);
        Some(((low - margin).max(0.0), high + margin))
    }

    /// How many points lie below the y axis, and where that ends, in words; `None` where none does.
    pub fn below(&self) -> Option<String> {
        let low = self.y_range().0;
        let below =
            self.places().filter_map(|place| place.y).filter(|&y| y < low * (1.0 - 1e-9)).count();
        (below > 0).then(|| format!("{BELOW} {below} at 0 or below {}", number(low as f32)))
    }

    /// Range of the positive losses in whole decades; one decade around .001 where there are none.
    pub fn y_range(&self) -> (f64, f64) {
        let positive = || self.places().filter_map(|place| place.y).filter(|&kld| kld > 0.0);
        let high = positive().max_by(f64::total_cmp).unwrap_or(1e-2);
        // Losses far below the rest are rounding errors: they are drawn at the bottom.
        let low =
            positive().filter(|&kld| kld >= high * 1e-5).min_by(f64::total_cmp).unwrap_or(1e-3);
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        (10_f64.powf(low), 10_f64.powf(if high > low { high } else { low + 1.0 }))
    }
}

impl Tuning {
    /// The plot for a context, in the run of this number.
    pub fn plot(&self, model: &ModelView, context: usize, generation: u64) -> Plot {
        let place = |bytes: u64, measured: Option<&Measured>| match self.against {
            Against::Bytes => Some(PlotPoint {
                x: bytes as f64,
                y: measured.map(|figures| figures.divergence.kld.mean),
            }),
            Against::Time => measured.and_then(|figures| {
                Some(PlotPoint { x: figures.beside?.median, y: Some(figures.divergence.kld.mean) })
            }),
        };
        let bytes = |plan, window| self.tally(plan, window, None, context).bytes.total();
        let spots = self.sweep.measured().filter_map(|(point, measured)| {
            let place = place(bytes(&point.plan, point.draft.window), Some(measured))?;
            Some(Spot { id: point.id, kind: point.kind, place })
        });
        let mut spots: Vec<Spot> = spots.collect();
        spots.sort_by(|a, b| a.place.x.total_cmp(&b.place.x).then(a.id.cmp(&b.id)));
        // Figures of the sweep come first: they cover the same tokens as its points.
        let swept = |plan, window| {
            self.sweep.figures_of(plan, window).filter(|_| !self.sweep.is_stale(generation))
        };
        let last = match self.figures(generation) {
            Freshness::Measured(measured) => Some(measured),
            Freshness::Stale(_) | Freshness::None => None,
        };
        let now = swept(model.plan(), model.info.window).or(last);
        // Beside the points of a sweep stands only what covers the tokens of that sweep.
        let reference = self.sweep.measured().next().map(|(_, figures)| figures);
        let reference = reference.filter(|_| !self.sweep.is_stale(generation)).or(now);
        let fits = |figures: &&Measured| {
            reference.is_none_or(|reference| is_comparable(reference, figures))
        };
        let now = now.filter(fits);
        let over_others = last.is_some_and(|last| !fits(&last));
        let proposed =
            (!self.is_applied(model)).then(|| bytes(&self.proposal.plan, self.draft.window));
        let any_of_saved = swept(&self.saved.mask.plan, self.saved.window)
            .or_else(|| self.figures_of_saved(generation));
        let of_saved = any_of_saved.filter(fits);
        Plot {
            spots,
            now: place(bytes(model.plan(), model.info.window), now),
            proposed: proposed.and_then(|bytes| place(bytes, None)),
            saved: place(bytes(&self.saved.mask.plan, self.saved.window), of_saved),
            over_others,
            saved_over_others: any_of_saved.is_some() && of_saved.is_none(),
        }
    }
}
