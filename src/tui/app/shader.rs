//! Channels as shades, for the current metric and scale: shared by the screens and the exported
//! pictures.

use crate::tui::app::model::ModelView;
use crate::tui::app::state::{OtherMask, State};
use crate::tui::app::table::{Metric, Scale, Table};
use crate::tui::app::widths;
use crate::tui::color::Shade;
use crate::tui::paint::number;

/// Turns channels into shades for one metric and scale.
#[derive(Debug, Clone, Copy)]
pub struct Shader<'a> {
    /// The model.
    pub model: &'a ModelView,
    /// The metric.
    pub metric: Metric,
    /// Its scale.
    pub scale: Scale,
    /// The mask or plan to compare with, where the difference is shown.
    pub other: Option<&'a OtherMask>,
}

impl<'a> Shader<'a> {
    /// The shader of the current screen; `None` while there is nothing to show.
    pub fn of(state: &'a State) -> Option<Self> {
        let model = state.model.as_ref()?;
        let metric = state.shown_metric()?;
        let other = state.other.as_ref().filter(|_| state.diff);
        Some(Self { model, metric, scale: state.scales[metric as usize], other })
    }

    /// One shade for several channels of a head: their mean.
    pub fn pool(&self, layer: usize, head: usize, channels: impl Iterator<Item = usize>) -> Shade {
        let (mut sum, mut count) = (0.0, 0_usize);
        let kept = self.model.mask.head(layer, head);
        let mut add = |value: f32| {
            if value.is_finite() {
                (sum, count) = (sum + value, count + 1);
            }
        };
        if let Some(other) = self.other {
            let (ours, theirs) = (self.model.plan().k(layer, head), other.plan.k(layer, head));
            // From 0 to 1: a difference of all four steps between 0 and 16 bits is an end.
            let difference =
                |c: usize| (ours[c].index() as f32 - theirs[c].index() as f32) / 8.0 + 0.5;
            channels.for_each(|channel| add(difference(channel)));
            return if count == 0 { Shade::Absent } else { Shade::Difference(sum / count as f32) };
        }
        match self.model.table(self.metric) {
            Some(table) => {
                let values = table.head(layer, head);
                channels.for_each(|channel| add(values[channel]));
                if count == 0 {
                    Shade::Absent
                } else {
                    Shade::Share(table.share(sum / count as f32, self.scale))
                }
            }
            None if self.shows_widths() => {
                let widths = self.model.plan().k(layer, head);
                channels.for_each(|channel| add(f32::from(widths[channel].bits())));
                match count {
                    0 => Shade::Absent,
                    count => Shade::Share(widths::share_of(sum / count as f32)),
                }
            }
            None => {
                channels.for_each(|channel| add(f32::from(u8::from(kept[channel]))));
                if count == 0 { Shade::Absent } else { Shade::Share(sum / count as f32) }
            }
        }
    }

    /// Whether a head keeps no channels, so that it must be marked by a symbol and not by colour
    /// alone.
    pub fn is_dropped(&self, layer: usize, head: usize) -> bool {
        self.model.kept(layer, head) == 0
    }

    /// Whether the shades are widths of a plan in steps.
    pub fn shows_widths(&self) -> bool {
        self.metric == Metric::Mask && self.other.is_none() && self.model.widths.is_some()
    }

    /// Whether the shades compare the widths of two plans of which one has codes.
    pub fn compares_widths(&self) -> bool {
        self.other.is_some_and(|other| !(other.plan.is_mask() && self.model.plan().is_mask()))
    }

    /// Title of what is shown.
    pub fn title(&self) -> String {
        match self.other {
            Some(other) => format!("difference to {}", other.label),
            None => self.model.name_of(self.metric).to_owned(),
        }
    }

    /// Unit of the values.
    pub fn unit(&self) -> &'static str {
        if self.shows_widths() {
            "bits of K channels; right of a head, V's"
        } else if self.compares_widths() {
            "bits of each K channel, here against there"
        } else if self.other.is_some() {
            "kept by one mask and not by the other"
        } else {
            self.metric.unit()
        }
    }

    /// The value at a share of the legend, as text.
    pub fn legend(&self, share: f32) -> String {
        match (self.other, self.model.table(self.metric)) {
            (Some(_), _) if self.compares_widths() => {
                ["fewer bits", "same", "more bits"][(share * 2.0).round() as usize].to_owned()
            }
            (Some(_), _) => {
                ["only other", "same", "only mask"][(share * 2.0).round() as usize].to_owned()
            }
            (None, Some(table)) => number(table.at(share, self.scale)),
            (None, None) if self.shows_widths() => format!("{} bits", widths::width_at(share)),
            (None, None) => format!("{:.0} %", share * 100.0),
        }
    }
}

/// The place of a value among those of its head, 1 for the largest.
pub fn rank(values: &[f32], own: f32) -> usize {
    values.iter().filter(|&&value| value > own).count() + 1
}

/// The metric for the bars: that of the map, or, for the mask, the importance it was made from.
pub fn bar_metric<'a>(state: &State, model: &'a ModelView) -> Option<(Metric, &'a Table)> {
    let order = [state.metric, Metric::Importance, Metric::KeyNorm];
    order.into_iter().find_map(|metric| Some((metric, model.table(metric)?)))
}

/// The metric for the bars of the selected head: where all its values are zero, as those of a head
/// that learning has dropped, the key norm says more.
pub fn head_metric<'a>(state: &State, model: &'a ModelView) -> Option<(Metric, &'a Table)> {
    let says =
        |table: &Table| table.head(state.at.layer, state.at.head).iter().any(|value| *value != 0.0);
    let first = bar_metric(state, model)?;
    let other = || model.table(Metric::KeyNorm).filter(|table| says(table));
    match says(first.1) || state.metric == first.0 {
        true => Some(first),
        false => Some(other().map_or(first, |table| (Metric::KeyNorm, table))),
    }
}
