//! Training: planted dead channels, bit-exact resuming, checkpoints, and losses that are not
//! finite.

use std::path::Path;

use kscope::element::Dtype;
use kscope::learn::engine::{DistillLoss, Factors, Sample, loss};
use kscope::learn::train::{Settings, Stage, TrainState, Trainer, Variant};
use kscope::mask::Window;
use kscope::model::Model;
use kscope::model::decoder::Decoder;
use kscope::model::device::{Placement, TensorDecoder, TensorWeights};
use kscope::model::host::matrix::{Elements, Matrix};
use kscope::model::load::random::Random;
use kscope::model::weights::Tensors;
use kscope::model::weights::Weights;
use kscope_testing::models::*;

const WINDOW: Window = Window { sink: 2, recent: 6, chunk: 2 };

fn settings(sparsity: f64, steps: usize) -> Settings {
    Settings {
        window: WINDOW,
        align: 1,
        steps,
        mask_steps: 4,
        accumulate: 2,
        reg: 0.02,
        ..Settings::for_sparsity(sparsity)
    }
}

fn samples(model: &Model, count: u32) -> Vec<Sample> {
    let vocab = model.config().vocab as u32;
    let tokens = |from: u32, n: u32| {
        (from..from + n).map(|i| (i * i + 7 * i + from) % vocab).collect::<Vec<u32>>()
    };
    let sample = |i: u32| {
        let branches = [
            (tokens(50 * i + 1, 3), tokens(50 * i + 9, 8)),
            (tokens(50 * i + 20, 4), tokens(50 * i + 31, 8)),
        ];
        Sample::new(&model.decoder, &tokens(100 * i, 48), &branches).unwrap()
    };
    (0..count).map(sample).collect()
}

/// Channels of the planted model without information: whole pairs, so that the rotation does not
/// mix them with the others.
fn is_dead(channel: usize, head_dim: usize) -> bool {
    channel % (head_dim / 2) % 3 == 1
}

/// Random weights, larger in q and k, with the rows of dead query channels set to zero, so that
/// those key channels are pure noise.
struct Planted {
    random: Random,
    head_dim: usize,
}

impl Tensors for Planted {
    fn origin(&self) -> &str {
        "planted"
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> kscope::Result<Matrix> {
        let matrix = self.random.matrix(name, rows, cols)?;
        let mut wide = matrix.widened();
        if name.contains("q_proj") || name.contains("k_proj") {
            for (row, weights) in wide.chunks_exact_mut(cols).enumerate() {
                let dead = name.contains("q_proj") && is_dead(row % self.head_dim, self.head_dim);
                weights.iter_mut().for_each(|w| *w *= if dead { 0.0 } else { 2.0 });
            }
        }
        Matrix::new(rows, cols, Elements::F32(wide.into()))
    }

    fn vector(&mut self, name: &str, len: usize) -> kscope::Result<Vec<f32>> {
        self.random.vector(name, len)
    }
}

fn planted(placement: Option<Placement>) -> Model {
    let config = tiny("llama-gqa3").config().clone();
    let mut tensors = Planted { random: Random { seed: 3, kind: None }, head_dim: config.head_dim };
    let weights = Weights::read(&config, &mut tensors, Some(Dtype::F32), &mut |_| Ok(())).unwrap();
    let placed = placement.map(|placement| {
        let read =
            TensorWeights::read(&config, &weights, &mut tensors, false, &placement.device).unwrap();
        TensorDecoder::new(read, placement)
    });
    let decoder = match placed {
        Some(placed) => Decoder::on_device(config, placed).unwrap(),
        None => Decoder::new(config, weights).unwrap(),
    };
    Model { name: "planted".to_owned(), decoder, tokenizer: None }
}

#[test]
fn dead_key_channels_get_pruned_exactly_wherever_the_model_runs() {
    // The first gradient is only rounding (factors of 1 lose nothing), and the optimiser turns it
    // into full-size steps. The two runs take different paths to the same mask.
    for model in [planted(None), planted(Some(on_cpu()))] {
        let shape = model.config().mask_shape();
        let dead = (0..shape.head_dim).filter(|&channel| is_dead(channel, shape.head_dim)).count();
        let sparsity = dead as f64 / shape.head_dim as f64;
        let pool = samples(&model, 10);
        let settings = Settings { reg: 1e-3, ..settings(sparsity, 60) };
        let mut trainer = Trainer::new(&model, &settings, &pool[..8], &pool[8..], None).unwrap();
        while trainer.step().unwrap().is_some() {}
        let (mask, where_) = (trainer.cut().unwrap(), model.decoder.device_name());
        for (index, &kept) in mask.bits().iter().enumerate() {
            let (channel, alpha) = (index % shape.head_dim, trainer.state.alpha[index]);
            assert_eq!(
                kept,
                !is_dead(channel, shape.head_dim),
                "entry {index}, channel {channel} on {where_}: {alpha}"
            );
        }
    }
}

fn run_to_end(
    trainer: &mut Trainer<'_>,
    saved: &Path,
    settings: &Settings,
    stop_at: Option<(Stage, usize)>,
) {
    while trainer.step().unwrap().is_some() {
        trainer.state.save(saved, settings, "key").unwrap();
        if stop_at == Some((trainer.state.stage, trainer.state.step)) {
            return;
        }
    }
}

#[test]
fn a_resumed_training_equals_an_uninterrupted_one_to_the_bit() {
    let model = tiny("llama-gqa3");
    let pool = samples(&model, 5);
    let settings = settings(0.5, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let mut whole = Trainer::new(&model, &settings, &pool[..4], &pool[4..], None).unwrap();
    run_to_end(&mut whole, &path, &settings, None);
    assert_eq!(
        (whole.state.losses.len(), whole.state.mask_losses.len(), whole.state.stage),
        (8, 4, Stage::Done)
    );
    for stop in [(Stage::Importance, 3), (Stage::Mask, 0), (Stage::Mask, 2)] {
        let mut first = Trainer::new(&model, &settings, &pool[..4], &pool[4..], None).unwrap();
        run_to_end(&mut first, &path, &settings, Some(stop));
        // The pool of the second run is made again, as in a new process.
        let pool = samples(&model, 5);
        let state = TrainState::load(&path, &settings, "key").unwrap();
        assert_eq!(state, first.state);
        let mut second =
            Trainer::new(&model, &settings, &pool[..4], &pool[4..], Some(state)).unwrap();
        run_to_end(&mut second, &path, &settings, None);
        assert_eq!(second.state, whole.state, "stopped at {stop:?}");
    }
}

#[test]
fn a_checkpoint_of_another_learning_is_refused() {
    let model = tiny("llama");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let settings = settings(0.5, 8);
    TrainState::new(model.config().mask_shape()).save(&path, &settings, "key").unwrap();
    assert!(TrainState::load(&path, &settings, "key").is_ok());
    assert_eq!(TrainState::load(&path, &settings, "other data").unwrap_err().exit_code(), 2);
    assert_eq!(
        TrainState::load(&path, &Settings { seed: 1, ..settings.clone() }, "key")
            .unwrap_err()
            .exit_code(),
        2
    );
    std::fs::write(&path, b"nothing of the kind").unwrap();
    assert_eq!(TrainState::load(&path, &settings, "key").unwrap_err().exit_code(), 2);
    assert_eq!(
        TrainState::load(&folder.path().join("none"), &settings, "key").unwrap_err().exit_code(),
        2
    );
}

#[test]
fn a_loss_that_is_no_number_stops_with_a_reason_and_leaves_the_last_good_state() {
    let model = tiny("llama");
    let pool = samples(&model, 3);
    let settings = settings(0.5, 8);
    let mut trainer = Trainer::new(&model, &settings, &pool[..2], &pool[2..], None).unwrap();
    trainer.step().unwrap();
    trainer.state.alpha[0] = f32::NAN;
    let before = trainer.state.optimiser.clone();
    let error = trainer.step().unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("step 1"), "{error}");
    assert_eq!((trainer.state.step, &trainer.state.optimiser), (1, &before));
}

#[test]
fn a_diverging_loss_stops_with_a_reason_and_leaves_the_last_good_state() {
    let model = tiny("llama-gqa3");
    // The teacher is another model: no factors bring the student close to its hidden states.
    let pool = samples(&planted(None), 3);
    let settings = settings(0.5, 8);
    let mut trainer = Trainer::new(&model, &settings, &pool[..2], &pool[2..], None).unwrap();
    let before = trainer.state.clone();
    let error = trainer.step().unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(
        error.to_string().contains("step 0") && error.to_string().contains("diverges"),
        "{error}"
    );
    assert_eq!(trainer.state, before);
}

#[test]
fn factors_in_bf16_are_bf16() {
    let model = tiny("llama");
    let pool = samples(&model, 3);
    let bf16 = Variant { bf16: true, ..Variant::default() };
    let settings = Settings { variant: bf16, ..settings(0.5, 6) };
    let mut trainer = Trainer::new(&model, &settings, &pool[..2], &pool[2..], None).unwrap();
    while trainer.step().unwrap().is_some() {}
    let alpha = &trainer.state.alpha;
    assert!(alpha.iter().all(|a| a.to_bits() & 0xffff == 0) && alpha.iter().any(|&a| a < 1.0));
}

#[test]
fn the_authors_stage_two_weighs_kept_channels_and_takes_the_last_mask() {
    let model = tiny("llama-gqa3");
    let pool = samples(&model, 5);
    let authors = Variant { authors: true, ..Variant::default() };
    let settings = Settings { variant: authors, mask_lr: 0.5, ..settings(0.5, 8) };
    let mut trainer = Trainer::new(&model, &settings, &pool[..4], &pool[4..], None).unwrap();
    while trainer.state.stage == Stage::Importance {
        trainer.step().unwrap();
    }
    // The first loss is that of the kept channels' own factors, where all heads see their middle.
    let cut = trainer.cut().unwrap();
    let weighed = trainer
        .state
        .alpha
        .iter()
        .zip(cut.bits())
        .map(|(&a, &kept)| if kept { a } else { 0.0 })
        .collect();
    let weighed = Factors::soft(model.config().mask_shape(), weighed).unwrap();
    let losses: Vec<f64> = pool[..4]
        .iter()
        .map(|sample| loss(&model.decoder, WINDOW, &weighed, sample, DistillLoss::States).unwrap())
        .collect();
    let found = trainer.step().unwrap().unwrap().distill;
    let is_mean_of_two = (0..4)
        .flat_map(|a| (0..4).map(move |b| (a, b)))
        .any(|(a, b)| a != b && ((losses[a] + losses[b]) / 2.0 - found).abs() < 1e-9);
    assert!(is_mean_of_two, "{found} of {losses:?}");
    while trainer.step().unwrap().is_some() {}
    // The last mask is kept whether or not it is better; its loss is reported next to that of the
    // cut.
    let last = Factors::masked(&trainer.cut().unwrap());
    let found = loss(&model.decoder, WINDOW, &last, &pool[4], DistillLoss::States).unwrap() as f32;
    assert_eq!((trainer.state.best_loss, &trainer.state.best_alpha), (found, &trainer.state.alpha));
    assert_ne!(trainer.state.alpha, trainer.state.first_alpha);
}

#[test]
fn stage_two_keeps_the_better_of_its_masks_and_the_cut() {
    let model = tiny("llama-gqa3");
    let pool = samples(&model, 5);
    // A learning rate at which stage 2 diverges.
    let settings = Settings { mask_lr: 0.5, ..settings(0.5, 8) };
    let mut trainer = Trainer::new(&model, &settings, &pool[..4], &pool[4..], None).unwrap();
    while trainer.step().unwrap().is_some() {}
    assert!(trainer.state.best_loss <= trainer.state.first_loss);
    assert_eq!(trainer.state.alpha, trainer.state.best_alpha);
}
