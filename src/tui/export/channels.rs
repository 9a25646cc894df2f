//! The channels of the model as a table.

use serde_json::json;

use crate::mask::Width;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::table::Metric;
use crate::tui::export::Sheet;

/// Every channel of every head.
pub fn of_all(state: &State, model: &ModelView) -> Sheet {
    let shape = model.shape();
    let heads =
        (0..shape.layers).flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)));
    channels(state, model, heads)
}

/// The channels of the selected head.
pub fn of_head(state: &State, model: &ModelView) -> Sheet {
    channels(state, model, [(state.at.layer, state.at.head)].into_iter())
}

/// One row per channel.
fn channels(
    state: &State,
    model: &ModelView,
    heads: impl Iterator<Item = (usize, usize)>,
) -> Sheet {
    let shape = model.shape();
    let metrics: Vec<Metric> =
        Metric::ALL.into_iter().filter(|metric| model.table(*metric).is_some()).collect();
    let mut columns =
        vec!["layer", "kv_head", "channel", "pair", "wavelength_tokens", "kept", "bits"];
    columns.extend(metrics.iter().map(|metric| metric.column()));
    let other = state.other.as_ref().filter(|_| state.diff);
    columns.extend(other.into_iter().flat_map(|_| ["kept_by_other", "bits_of_other"]));
    let mut rows = Vec::new();
    for (layer, head) in heads {
        for (channel, &kept) in model.mask.head(layer, head).iter().enumerate() {
            let pair = channel % shape.pairs();
            let mut row = vec![
                json!(layer),
                json!(head),
                json!(channel),
                json!(pair),
                json!(model.info.wavelengths[pair]),
                json!(u8::from(kept)),
                json!(model.plan().k(layer, head)[channel]),
            ];
            // A channel without a value is an empty cell, and null in JSON.
            row.extend(metrics.iter().filter_map(|metric| {
                Some(json!(model.table(*metric)?.head(layer, head)[channel]))
            }));
            row.extend(other.into_iter().flat_map(|other| {
                let width = other.plan.k(layer, head)[channel];
                [json!(u8::from(width != Width::Zero)), json!(width)]
            }));
            rows.push(row);
        }
    }
    Sheet { columns, rows }
}
