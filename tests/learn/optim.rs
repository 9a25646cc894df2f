//! Optimiser and schedule against PyTorch (tests/reference/adamw_vectors.py).

use kscope::learn::optim::{AdamW, schedule};
use kscope_testing::models::json;
use kscope_testing::vectors;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn updates_and_learning_rates_equal_pytorch() {
    let vectors = json(&vectors().join("learn/adamw.json"));
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 3);
    for case in cases {
        let (lr, steps) = (case["lr"].as_f64().unwrap(), case["steps"].as_u64().unwrap() as usize);
        let mut parameters: Vec<f32> = numbers(&case["start"]).iter().map(|&x| x as f32).collect();
        let mut optimiser = AdamW::new(parameters.len());
        for (step, want) in case["updates"].as_array().unwrap().iter().enumerate() {
            let gradient: Vec<f32> = numbers(&want["gradient"]).iter().map(|&x| x as f32).collect();
            let rate = schedule(lr, step, steps);
            assert!(
                (rate / want["lr"].as_f64().unwrap() - 1.0).abs() < 1e-12,
                "step {step} of {steps}: {rate}"
            );
            optimiser.step(&mut parameters, &gradient, rate);
            for (found, want) in parameters.iter().zip(numbers(&want["parameters"])) {
                assert!(
                    (f64::from(*found) - want).abs() < 2e-7,
                    "step {step} of {steps}: {found} is not {want}"
                );
            }
            parameters.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
        }
    }
}
