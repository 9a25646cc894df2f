//! Learning over tensors, which is what runs on a GPU, against learning over the host's weights.
//! candle's CPU device replaces the GPU. `tests/learn/gradient.rs` compares both with a plain
//! formulation.

use kscope::learn::engine::{self, DistillLoss, Factors, Sample};
use kscope::mask::{ChannelMask, Shape, Window};
use kscope::model::Model;
use kscope_testing::models::*;
use kscope_testing::{error, vectors};

/// Largest difference of losses and of gradients, each relative to the largest of its kind, between
/// two orders of summation in f32.
const CLOSE: f64 = 2e-5;

/// Windows around a prefix of 40 tokens with questions of up to 5 and answers of up to 7: chunks of
/// one and more; middles that end in the prefix, in a question and in an answer; without a sink;
/// without a middle.
const WINDOWS: [Window; 7] = [
    Window { sink: 3, recent: 6, chunk: 4 },
    Window { sink: 0, recent: 2, chunk: 1 },
    Window { sink: 5, recent: 20, chunk: 7 },
    Window { sink: 0, recent: 12, chunk: 1 },
    Window { sink: 42, recent: 1, chunk: 1 },
    Window { sink: 4, recent: 100, chunk: 8 },
    Window { sink: 0, recent: 0, chunk: 3 },
];

fn tokens(from: u32, n: u32) -> Vec<u32> {
    (from..from + n).map(|i| (i * 37 + 11) % 90).collect()
}

/// A context of 40 tokens; questions of 5, 2 and no tokens, and answers of 7, 4 and 1.
fn branches() -> Vec<(Vec<u32>, Vec<u32>)> {
    vec![
        (tokens(100, 5), tokens(200, 7)),
        (tokens(300, 2), tokens(400, 4)),
        (Vec::new(), tokens(500, 1)),
    ]
}

fn sample(model: &Model) -> Sample {
    Sample::new(&model.decoder, &tokens(0, 40), &branches()).unwrap()
}

/// Factors that differ from channel to channel, and masks: every third channel dropped, and whole
/// heads.
fn factors(shape: Shape) -> Vec<Factors> {
    let soft = (0..shape.entries()).map(|i| 0.15 + 0.7 * ((i * 29 % 97) as f32 / 97.0)).collect();
    let masked = |kept: &dyn Fn(usize, usize, usize) -> bool| {
        Factors::masked(&ChannelMask::from_fn(shape, kept))
    };
    vec![
        Factors::soft(shape, soft).unwrap(),
        masked(&|_, _, channel| channel % 3 != 0),
        masked(&|layer, head, channel| (layer + head) % 2 == 1 && channel % 3 != 0),
        masked(&|_, _, _| false),
    ]
}

#[test]
fn loss_and_gradient_are_the_hosts_in_every_window() {
    let (mut worst, mut gradients) = (0.0_f64, 0);
    for name in LEARNED {
        let (host, device) = (tiny(name), tiny_on_tensors(name));
        assert!(host.decoder.is_on_host() && !device.decoder.is_on_host());
        let sample = sample(&host);
        for window in WINDOWS {
            for (which, factors) in factors(host.config().mask_shape()).iter().enumerate() {
                let expected =
                    engine::distill(&host.decoder, window, factors, &sample, DistillLoss::States)
                        .unwrap();
                let found =
                    engine::distill(&device.decoder, window, factors, &sample, DistillLoss::States)
                        .unwrap();
                // Without a middle the loss is only rounding.
                let loss = (found.loss - expected.loss).abs() / expected.loss.max(1e-7);
                let gradient = error(&found.gradient, &expected.gradient);
                assert!(
                    loss < CLOSE,
                    "{name}, {window:?}, factors {which}: loss {} for {}",
                    found.loss,
                    expected.loss
                );
                assert!(
                    gradient < CLOSE,
                    "{name}, {window:?}, factors {which}: the gradient is off by {gradient:e}"
                );
                let alone =
                    engine::loss(&device.decoder, window, factors, &sample, DistillLoss::States)
                        .unwrap();
                assert_eq!(alone, found.loss, "{name}, {window:?}");
                worst = worst.max(gradient).max(loss);
                gradients += usize::from(expected.gradient.iter().any(|&g| g != 0.0));
            }
        }
    }
    println!("the largest difference is {worst:.1e}");
    assert!(gradients > 60, "{gradients} cases have a gradient at all");
}

#[test]
fn a_sample_of_the_device_is_the_hosts() {
    for name in LEARNED {
        let (host, device) = (tiny(name), tiny_on_tensors(name));
        let (expected, found) = (sample(&host), sample(&device));
        assert_eq!((expected.rows(), expected.bytes()), (found.rows(), found.bytes()));
        for (expected, found) in expected.stored().zip(found.stored()) {
            let largest = expected.iter().fold(0.0, |most: f32, x| most.max(x.to_f32().abs()));
            for (a, b) in expected.iter().zip(found) {
                let (a, b) = (a.to_f32(), b.to_f32());
                // Allowed: one f16 step, or, where a sum cancels, the rounding of f32.
                assert!(
                    (a - b).abs() <= a.abs() * 2f32.powi(-10) + 2e-5 * largest,
                    "{name}: {a} and {b}"
                );
            }
        }
        for (expected, found) in expected.branches().iter().zip(found.branches()) {
            assert_eq!(expected.answer(), found.answer());
            let target = error(found.target(), expected.target());
            // A key that rounds to the neighbouring f16 value changes the targets by more than the
            // order of summation does.
            assert!(target < 4e-4, "{name}: targets are off by {target:e}");
        }
    }
}

#[test]
fn what_the_model_does_not_have_is_refused_and_no_rows_have_no_gradient() {
    for model in [tiny("llama"), tiny_on_tensors("llama")] {
        let vocab = model.config().vocab as u32;
        assert_eq!(
            Sample::new(&model.decoder, &tokens(0, 9), &[(vec![], vec![vocab])])
                .unwrap_err()
                .exit_code(),
            2
        );
        assert_eq!(
            Sample::new(&model.decoder, &tokens(0, 9), &[(vec![vocab], vec![1])])
                .unwrap_err()
                .exit_code(),
            2
        );
        let sample = Sample::new(&model.decoder, &tokens(0, 9), &[(vec![1], vec![])]).unwrap();
        let found = engine::distill(
            &model.decoder,
            WINDOWS[0],
            &Factors::whole(model.config().mask_shape()),
            &sample,
            DistillLoss::States,
        )
        .unwrap();
        assert_eq!((found.loss, found.gradient.iter().any(|&g| g != 0.0)), (0.0, false));
    }
}

/// Models with quantised matrices: q, k and v are quantised separately in the file and are parts of
/// one layer on a device.
#[test]
fn quantised_weights_have_nearly_the_hosts_gradient() {
    let mut tried = 0;
    for entry in std::fs::read_dir(vectors().join("gguf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let host = load(&path, None);
        let device = open(&path).load_on(None, Some(on_cpu()), &mut |_| Ok(())).unwrap();
        let sample = sample(&host);
        let mut worst = 0.0_f64;
        for factors in &factors(host.config().mask_shape())[..2] {
            let expected =
                engine::distill(&host.decoder, WINDOWS[0], factors, &sample, DistillLoss::States)
                    .unwrap();
            let found =
                engine::distill(&device.decoder, WINDOWS[0], factors, &sample, DistillLoss::States)
                    .unwrap();
            worst = worst
                .max(error(&found.gradient, &expected.gradient))
                .max((found.loss / expected.loss - 1.0).abs());
        }
        println!("{}: {worst:.1e}", path.display());
        assert!(worst < 1e-3, "{}: off by {worst:e}", path.display());
        tried += 1;
    }
    assert!(tried >= 5, "{tried} files");
}
