//! The results of an evaluation in its middle.

use std::collections::BTreeMap;

use crate::eval::prompt::Protocol;
use crate::eval::run::{CONTROL, DENSE, GivenAnswer, MaskHeader, Record, Results, RunHeader};
use crate::eval::text::ChunkLosses;
use crate::mask::Window;
use crate::tui::testing::noise;

/// The mask that was evaluated.
pub const EVALUATED: &str = "half.safetensors";

/// The header of a run with one mask.
fn header() -> RunHeader {
    let mask = MaskHeader {
        name: EVALUATED.to_owned(),
        fingerprint: "ab".repeat(32),
        window: Window::default(),
        bytes_share: 0.6,
        kv_bytes: BTreeMap::new(),
    };
    RunHeader {
        format: "kscope-eval".to_owned(),
        version: 1,
        tool: "kscope".to_owned(),
        commit: None,
        command: "kscope eval".to_owned(),
        model: "test-model".to_owned(),
        model_fingerprint: String::new(),
        weights: "f32".to_owned(),
        kv_dtype: "f16".to_owned(),
        seed: 42,
        protocol: Protocol::After,
        dense_kv_bytes: BTreeMap::new(),
        masks: vec![mask],
        haystack: None,
        sources: Vec::new(),
        does_not_fit: Vec::new(),
        jobs: 120,
        shard: None,
    }
}

/// Made-up recall samples of three tasks at two lengths, and two chunks of a text: 62 of 120 results.
pub fn evaluated() -> Results {
    let mut records = Vec::new();
    let tasks = ["niah_single_1", "niah_multikey_1", "vt"];
    for ctx in [512, 1024] {
        for (at, task) in tasks.iter().enumerate() {
            for index in 0..10 {
                let number = records.len();
                let dense = f64::from(u8::from(noise(number) > 0.1 || at == 0));
                let own = dense * f64::from(u8::from(noise(number + 900) > 0.3));
                let given = |mask: &str, score: f64| GivenAnswer {
                    mask: mask.to_owned(),
                    text: if score > 0.5 { "4417" } else { "7714" }.to_owned(),
                    score,
                };
                records.push(Record {
                    job: number,
                    suite: "recall".to_owned(),
                    task: (*task).to_owned(),
                    ctx,
                    index,
                    tokens: ctx,
                    depth: Some(index as f64 / 10.0),
                    references: vec!["4417".to_owned()],
                    answers: vec![
                        given(DENSE, dense),
                        given(CONTROL, dense),
                        given(EVALUATED, own),
                    ],
                    ..Record::default()
                });
            }
        }
    }
    let chunk = |mask: &str, more: f32| ChunkLosses {
        mask: mask.to_owned(),
        kld: (0..40).map(|at| more * noise(at)).collect(),
        nll_base: (0..40).map(|at| 2.0 + noise(at)).collect(),
        nll: (0..40).map(|at| 2.0 + noise(at) + more * noise(at + 7)).collect(),
        same: "1".repeat(40),
    };
    for index in 0..2 {
        records.push(Record {
            job: records.len(),
            suite: "text".to_owned(),
            task: "moby-dick".to_owned(),
            ctx: 1024,
            index,
            tokens: 1024,
            losses: vec![chunk(CONTROL, 0.0), chunk(EVALUATED, 0.04)],
            ..Record::default()
        });
    }
    Results { header: header(), records }
}
