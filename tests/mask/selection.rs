//! Selection equals a plain NumPy version on random importance with ties
//! (tests/reference/selection_vectors.py).

use kscope::mask::select::{Budget, Options};
use kscope::mask::{Importance, Shape, select};

#[derive(serde::Deserialize)]
struct Case {
    shape: (usize, usize, usize),
    sparsity: f64,
    align: usize,
    rule: String,
    pair_closed: bool,
    sixteenths: Vec<u8>,
    mask: String,
}

#[test]
fn selection_equals_numpy() {
    let text = std::fs::read_to_string(super::vector("selection.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 108);
    for (index, case) in cases.iter().enumerate() {
        let (layers, kv_heads, head_dim) = case.shape;
        let scores = case.sixteenths.iter().map(|&score| f32::from(score) / 16.0).collect();
        let importance = Importance::new(Shape { layers, kv_heads, head_dim }, scores).unwrap();
        let budget = match case.rule.as_str() {
            "global" => Budget::Global,
            "upstream" => Budget::UpstreamTies,
            _ => Budget::Exact,
        };
        let options = Options {
            budget,
            pair_closed: case.pair_closed,
            ..Options::new(case.sparsity, case.align)
        };
        let mask = select(&importance, &options).unwrap();
        let bits: String = mask.bits().iter().map(|&kept| if kept { '1' } else { '0' }).collect();
        assert_eq!(
            bits, case.mask,
            "case {index}: {:?} at {} align {} {}",
            case.shape, case.sparsity, case.align, case.rule
        );
    }
}
