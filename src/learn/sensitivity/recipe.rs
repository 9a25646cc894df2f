//! What is kept and said of a measurement.

use serde_json::{Value, json};

use super::measure::MeasuredSensitivity;
use super::settings::SensitivitySettings;
use crate::learn::data::Haystack;
use crate::mask::{Sensitivity, Width};
use crate::model::Model;

/// How a sensitivity was measured, to be stored in its file or in that of what `rule` makes of it.
pub fn recipe(
    rule: &str,
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
    measured: &MeasuredSensitivity,
) -> Value {
    let texts = haystack.pieces.iter();
    let texts: Vec<Value> =
        texts.map(|piece| json!({ "name": piece.name, "sha256": piece.sha256() })).collect();
    json!({
        "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")),
        "rule": rule,
        "weights": model.decoder.learning_weights(),
        "texts": texts,
        "settings": settings,
        "text_rows": measured.text_rows,
        "recall_rows": measured.recall_rows,
    })
}

/// Share of the summed damage of all K channels at 4 bits that the costliest 1 % have (at least one
/// channel); 0 where there is no damage.
pub fn costliest_share(sensitivity: &Sensitivity) -> f64 {
    let shape = sensitivity.shape();
    let mut damages: Vec<f64> = shape
        .each_head()
        .flat_map(|(layer, head)| (0..shape.head_dim).map(move |channel| (layer, head, channel)))
        .map(|(layer, head, channel)| f64::from(sensitivity.k(layer, head, channel, Width::Four)))
        .collect();
    damages.sort_by(|a, b| b.total_cmp(a));
    let costliest: f64 = damages[..damages.len().div_ceil(100)].iter().sum();
    let all: f64 = damages.iter().sum();
    if all > 0.0 { costliest / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;

    #[test]
    fn the_costliest_hundredth_is_found_at_4_bits() {
        let shape = Shape { layers: 2, kv_heads: 1, head_dim: 100 };
        // Columns of 0, 2, 4 and 8 bits; two channels of 200 cost 50 each at 4 bits, the others 1.
        let damage = |channel: usize| if channel % 100 == 7 { 50.0 } else { 1.0 };
        let k: Vec<f32> = (0..200).flat_map(|c| [900.0, 800.0, damage(c), 0.0]).collect();
        let sensitivity = Sensitivity::new(shape, k, vec![0.0; 8]).unwrap();
        assert!((costliest_share(&sensitivity) - 100.0 / 298.0).abs() < 1e-9);
        let nothing = Sensitivity::new(shape, vec![0.0; 800], vec![0.0; 8]).unwrap();
        assert_eq!(costliest_share(&nothing), 0.0);
    }
}
