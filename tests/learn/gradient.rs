//! The gradient of learning against numerical derivatives of a full-sequence formulation in f64.

use kscope::learn::engine::{self, DistillLoss, Factors, Sample};
use kscope::mask::{ChannelMask, Shape, Window};
use kscope::model::Model;
use kscope_testing::models::*;
use kscope_testing::plain::Plain;

const WINDOW: Window = Window { sink: 3, recent: 6, chunk: 4 };

/// A context of 40 tokens, and two questions of different length with answers.
struct Case {
    prefix: Vec<u32>,
    branches: Vec<(Vec<u32>, Vec<u32>)>,
}

fn case() -> Case {
    let token = |i: u32| (i * 37 + 11) % 90;
    let list = |from: u32, n: u32| (from..from + n).map(token).collect::<Vec<u32>>();
    Case {
        prefix: list(0, 40),
        branches: vec![(list(100, 5), list(200, 7)), (list(300, 2), list(400, 4))],
    }
}

fn sample(model: &Model, case: &Case) -> Sample {
    Sample::new(&model.decoder, &case.prefix, &case.branches).unwrap()
}

/// Factors that differ from channel to channel, away from 0 and 1.
fn soft(shape: Shape) -> Vec<f32> {
    (0..shape.entries()).map(|i| 0.15 + 0.7 * ((i * 29 % 97) as f32 / 97.0)).collect()
}

/// The loss of the full-sequence formulation: one pass over context, question and answer, in which
/// the factors apply only to the middle keys of answer rows.
fn full_loss(model: &Model, case: &Case, factors: &[f64], dropped: &[bool]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (question, answer) in &case.branches {
        let tokens = [case.prefix.as_slice(), question, answer].concat();
        let pruned_from = case.prefix.len() + question.len();
        let run = |from| {
            Plain::with_factors(model, WINDOW, factors.to_vec(), dropped.to_vec())
                .states(&tokens, from)
        };
        let (exact, pruned) = (run(tokens.len()), run(pruned_from));
        for (a, b) in
            exact[pruned_from..].iter().flatten().zip(pruned[pruned_from..].iter().flatten())
        {
            sum += (a - b).powi(2);
            count += 1;
        }
    }
    sum / f64::from(count)
}

/// Central differences of `loss` in every entry.
fn differences(at: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let shifted = |i: usize, by: f64| {
        let mut moved = at.to_vec();
        moved[i] += by;
        loss(&moved)
    };
    (0..at.len()).map(|i| (shifted(i, STEP) - shifted(i, -STEP)) / (2.0 * STEP)).collect()
}

/// Largest difference relative to the largest expected entry.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    assert!(largest > 0.0);
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / largest
}

#[test]
fn the_cached_gradient_is_that_of_the_full_sequence_for_every_architecture() {
    for name in LEARNED.into_iter().chain(LEARNED_ON_HOST) {
        let model = tiny(name);
        let (case, shape) = (case(), model.config().mask_shape());
        let values = soft(shape);
        let dropped = vec![false; shape.heads()];
        let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let loss = full_loss(&model, &case, &wide, &dropped);
        let expected = differences(&wide, |at| full_loss(&model, &case, at, &dropped));
        let on_tensors = LEARNED.contains(&name).then(|| tiny_on_tensors(name));
        for model in [Some(model), on_tensors].into_iter().flatten() {
            let where_ = model.decoder.device_name();
            let factors = Factors::soft(shape, values.clone()).unwrap();
            let found = engine::distill(
                &model.decoder,
                WINDOW,
                &factors,
                &sample(&model, &case),
                DistillLoss::States,
            )
            .unwrap();
            // Context keys and values are f16 in the engine and exact in the reference.
            assert!(
                (found.loss / loss - 1.0).abs() < 1e-2,
                "{name} on {where_}: loss {} against {loss}",
                found.loss
            );
            let error = distance(&found.gradient, &expected);
            assert!(error < 1e-2, "{name} on {where_}: the gradient is off by {error:e}");
        }
    }
}

#[test]
fn a_deployed_mask_has_the_straight_through_gradient_and_dropped_heads_have_none() {
    let model = tiny("llama-gqa3");
    let (case, shape) = (case(), model.config().mask_shape());
    // The first head of layer 1 is dropped; the others keep two of three channels.
    let mask = ChannelMask::from_fn(shape, |layer, head, channel| {
        (layer, head) != (1, 0) && channel % 3 != 0
    });
    let bits: Vec<f64> = mask.bits().iter().map(|&kept| f64::from(u8::from(kept))).collect();
    let dropped: Vec<bool> = mask.kept_counts().iter().map(|&count| count == 0).collect();
    let loss = full_loss(&model, &case, &bits, &dropped);
    let expected = differences(&bits, |at| full_loss(&model, &case, at, &dropped));
    for model in [model, tiny_on_tensors("llama-gqa3")] {
        let found = engine::distill(
            &model.decoder,
            WINDOW,
            &Factors::masked(&mask),
            &sample(&model, &case),
            DistillLoss::States,
        )
        .unwrap();
        assert!(
            (found.loss / loss - 1.0).abs() < 1e-2,
            "the forward value is the mask: {} against {loss}",
            found.loss
        );
        let error = distance(&found.gradient, &expected);
        assert!(
            error < 1e-2,
            "on {}, the gradient is off by {error:e}",
            model.decoder.device_name()
        );
        let d = shape.head_dim;
        let head = |index: usize| &found.gradient[index * d..(index + 1) * d];
        assert!(head(shape.kv_heads).iter().all(|&g| g == 0.0), "a dropped head sees no middle");
        assert!(
            (0..d).step_by(3).all(|channel| head(0)[channel] != 0.0),
            "channels that are not kept get a gradient too"
        );
    }
}

/// Mean KL(dense || pruned) of answer rows, by the full-sequence formulation.
fn full_divergence(model: &Model, case: &Case, factors: &[f64]) -> f64 {
    let (mut sum, mut rows) = (0.0, 0);
    for (question, answer) in &case.branches {
        let tokens = [case.prefix.as_slice(), question, answer].concat();
        let first = case.prefix.len() + question.len();
        let run = |from| {
            let dropped = vec![false; factors.len()];
            Plain::with_factors(model, WINDOW, factors.to_vec(), dropped)
                .pruned_from(from)
                .logits(&tokens)
        };
        let logs = |logits: &[f64]| -> Vec<f64> {
            let total: f64 = logits.iter().map(|x| x.exp()).sum();
            logits.iter().map(|x| x - total.ln()).collect()
        };
        let (dense, own) = (run(tokens.len()), run(first));
        for (dense, own) in dense[first..].iter().zip(&own[first..]) {
            let pairs = logs(dense).into_iter().zip(logs(own));
            sum += pairs.map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            rows += 1;
        }
    }
    sum / f64::from(rows)
}

#[test]
fn the_gradient_of_the_loss_on_predictions_is_that_of_the_kld() {
    for name in ["llama-gqa3", "gemma2"] {
        let model = tiny(name);
        let (case, shape) = (case(), model.config().mask_shape());
        let values = soft(shape);
        let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let loss = full_divergence(&model, &case, &wide);
        let expected = differences(&wide, |at| full_divergence(&model, &case, at));
        let factors = Factors::soft(shape, values).unwrap();
        let sample = sample(&model, &case);
        let kind = DistillLoss::Divergence;
        let found = engine::distill(&model.decoder, WINDOW, &factors, &sample, kind).unwrap();
        assert!((found.loss / loss - 1.0).abs() < 2e-2, "{name}: {} against {loss}", found.loss);
        let alone = engine::loss(&model.decoder, WINDOW, &factors, &sample, kind).unwrap();
        assert_eq!(alone, found.loss);
        let error = distance(&found.gradient, &expected);
        assert!(error < 2e-2, "{name}: the gradient is off by {error:e}");
    }
    let model = tiny_on_tensors("llama-gqa3");
    let shape = model.config().mask_shape();
    let factors = Factors::soft(shape, soft(shape)).unwrap();
    let sample = sample(&model, &case());
    let error = engine::distill(&model.decoder, WINDOW, &factors, &sample, DistillLoss::Divergence)
        .unwrap_err();
    assert!(error.to_string().contains("--device cpu"), "{error}");
}

#[test]
fn factors_of_one_lose_nothing() {
    for model in [tiny("llama"), tiny_on_tensors("llama")] {
        let shape = model.config().mask_shape();
        let sample = sample(&model, &case());
        let ones = Factors::soft(shape, vec![1.0; shape.entries()]).unwrap();
        let found =
            engine::distill(&model.decoder, WINDOW, &ones, &sample, DistillLoss::States).unwrap();
        assert!(found.loss < 1e-10, "{}", found.loss);
        let masked = engine::loss(
            &model.decoder,
            WINDOW,
            &Factors::masked(&ChannelMask::full(shape)),
            &sample,
            DistillLoss::States,
        )
        .unwrap();
        assert!(masked < 1e-10, "{masked}");
    }
}

#[test]
fn the_gradient_is_the_same_to_the_bit_on_any_number_of_threads() {
    let model = tiny("llama");
    let shape = model.config().mask_shape();
    let sample = sample(&model, &case());
    let factors = Factors::soft(shape, soft(shape)).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            engine::distill(&model.decoder, WINDOW, &factors, &sample, DistillLoss::States).unwrap()
        })
    };
    assert_eq!(on(1), on(3));
}
