//! Sensitivity: against numerical derivatives in f64, against the KLD that it predicts, and what it
//! refuses.

use std::sync::Arc;

use half::f16;
use kscope::cache::SequenceCache;
use kscope::cache::coded::Group;
use kscope::decode::divergence::StepDivergence;
use kscope::element::Dtype;
use kscope::learn::data::{Haystack, HaystackPart, HaystackPiece};
use kscope::learn::engine::{Damage, DamageQuery, Sample, damage};
use kscope::learn::sensitivity::{
    MeasuredSensitivity, SensitivitySettings, measure, prune_in_rounds,
};
use kscope::mask::select::{Options, select};
use kscope::mask::{ChannelMask, Importance, Sensitivity, Shape, Width, Window};
use kscope::model::Model;
use kscope::model::decoder::{PrefillHooks, StepBuffers};
use kscope::random::SplitMix64;
use kscope_testing::demo;
use kscope_testing::models::*;
use kscope_testing::plain::{Plain, Probe};

const WINDOW: Window = Window { sink: 3, recent: 6, chunk: 4 };

/// Tokens drawn per row.
const DRAWS: usize = 2;

/// A question and its answer, as tokens.
type Branch = (Vec<u32>, Vec<u32>);

/// A context of 40 tokens, and two questions of different length with answers. With this window the
/// answers' first rows are in the middle of their last ones.
fn branches() -> (Vec<u32>, Vec<Branch>) {
    let list =
        |from: u32, n: u32| (from..from + n).map(|i| (i * 37 + 11) % 90).collect::<Vec<u32>>();
    (list(0, 40), vec![(list(100, 5), list(200, 12)), (list(300, 2), list(400, 4))])
}

/// The token drawn for a row, in place of a random one.
fn chosen(call: usize) -> usize {
    (call * 31 + 7) % 90
}

fn query(draws: usize, mask: Option<&ChannelMask>) -> DamageQuery<'_> {
    DamageQuery { window: WINDOW, draws, widths: &Sensitivity::WIDTHS, mask }
}

fn found(model: &Model) -> Damage {
    under(model, query(DRAWS, None))
}

fn under(model: &Model, query: DamageQuery<'_>) -> Damage {
    let (prefix, branches) = branches();
    let sample = Sample::new(&model.decoder, &prefix, &branches).unwrap();
    let mut calls = 0..;
    let draw = &mut |_: &[f32]| chosen(calls.next().unwrap());
    damage(&model.decoder, query, &sample, draw).unwrap()
}

fn log_probability(logits: &[f64], token: usize) -> f64 {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits[token] - most - logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln()
}

/// What coding with `width` changes in numbers at these places.
fn errors(numbers: &[f64], places: &[usize], width: Width, out: &mut [f64]) {
    let stored = |place: &usize| f16::from_f64(numbers[*place]).to_f32();
    if width == Width::Zero {
        places.iter().for_each(|place| out[*place] = -f64::from(stored(place)));
        return;
    }
    let group = Group::of(places.iter().map(stored), width);
    for place in places {
        let number = stored(place);
        out[*place] = f64::from(group.number(group.code(number, width)) - number);
    }
}

/// The expected sums of one channel or head: squared central differences of the sum over rows of log
/// p, for an error in what one row sees, summed over rows and draws.
fn expected(
    model: &Model,
    mask: &ChannelMask,
    (layer, kv_head): (usize, usize),
    channel: Option<usize>,
) -> [f64; 4] {
    // So small that no row goes through another expert.
    const STEP: f64 = 1e-4;
    let (prefix, branches) = branches();
    let (d, rows) = (model.config().head_dim, branches.iter().map(|(_, a)| a.len()).sum::<usize>());
    let (mut sums, mut first) = ([0.0; 4], 0);
    for (question, answer) in &branches {
        let mut context =
            Plain::new(model, WINDOW, mask).pruned_from(prefix.len() + question.len());
        // As in the engine: the rows after a context see it in f16.
        for tokens in [&prefix, question] {
            context.logits(tokens);
            context.round_to_f16();
        }
        let before = prefix.len() + question.len();
        let mut whole = context.clone();
        whole.logits(answer);
        let [keys, values] = whole.stored(layer, kv_head);
        let middle = WINDOW.sink..WINDOW.sink + WINDOW.middle(before + answer.len());
        for (column, width) in Sensitivity::WIDTHS.into_iter().enumerate() {
            let mut probe = Probe {
                layer,
                kv_head,
                row: 0,
                step: 0.0,
                keys: Vec::new(),
                values: Vec::new(),
                dropped: channel.is_none() && width == Width::Zero,
            };
            match channel {
                Some(channel) => {
                    probe.keys = vec![0.0; keys.len()];
                    for start in middle.clone().step_by(WINDOW.chunk) {
                        let places: Vec<usize> = (start..start + WINDOW.chunk)
                            .map(|token| token * d + channel)
                            .collect();
                        errors(&keys, &places, width, &mut probe.keys);
                    }
                }
                None if width != Width::Zero => {
                    probe.values = vec![0.0; values.len()];
                    for token in middle.clone() {
                        let places: Vec<usize> = (token * d..(token + 1) * d).collect();
                        errors(&values, &places, width, &mut probe.values);
                    }
                }
                None => (),
            }
            for row in 0..answer.len() {
                let total = |step: f64| -> [f64; DRAWS] {
                    let probe = Probe { row: before + row, step, ..probe.clone() };
                    let logits = context.clone().probed(probe).logits(answer);
                    std::array::from_fn(|draw| {
                        let rated = logits.iter().enumerate().map(|(at, logits)| {
                            log_probability(logits, chosen(draw * rows + first + at))
                        });
                        rated.sum()
                    })
                };
                let (above, below) = (total(STEP), total(-STEP));
                sums[column] += above
                    .iter()
                    .zip(below)
                    .map(|(above, below)| ((above - below) / (2.0 * STEP)).powi(2))
                    .sum::<f64>();
            }
        }
        first += answer.len();
    }
    sums
}

#[test]
fn every_width_costs_the_squared_derivative_of_its_error_for_every_architecture() {
    for name in LEARNED.into_iter().chain(LEARNED_ON_HOST) {
        let model = tiny(name);
        let shape = model.config().mask_shape();
        let found = found(&model);
        assert_eq!(found.terms, 16 * DRAWS);
        let mut worst = [0.0_f64; 4];
        for (layer, kv_head) in shape.each_head() {
            let head = layer * shape.kv_heads + kv_head;
            let channels = [1, shape.head_dim / 2, shape.head_dim - 1].map(Some);
            for channel in channels.into_iter().chain([None]) {
                let own = match channel {
                    Some(channel) => found.k[head * shape.head_dim + channel],
                    None => found.v[head],
                };
                let full = ChannelMask::full(shape);
                let expected = expected(&model, &full, (layer, kv_head), channel);
                for ((worst, own), expected) in worst.iter_mut().zip(own).zip(expected) {
                    assert!(expected > 0.0);
                    *worst = worst.max((own / expected - 1.0).abs());
                }
            }
        }
        // Half a code of 8 bits is a few f16 steps, and some of the numbers that are stored in f16
        // round to the other side here.
        let bounds = [1e-2, 1e-2, 1e-2, 5e-2];
        let fine = worst.iter().zip(bounds).all(|(worst, bound)| *worst < bound);
        assert!(fine, "{name}: the widths are off by {worst:?}");
    }
}

#[test]
fn under_a_mask_it_is_the_pruned_model_that_errs() {
    let model = tiny("llama-gqa3");
    let shape = model.config().mask_shape();
    let mask = ChannelMask::from_fn(shape, |layer, head, channel| {
        (layer, head) != (1, 0) && channel % 3 != 0
    });
    let zero = [Width::Zero];
    let query = DamageQuery { widths: &zero, ..query(DRAWS, Some(&mask)) };
    let found = under(&model, query);
    let d = shape.head_dim;
    assert!(found.k.iter().chain(&found.v).all(|sums| sums[1..] == [0.0; 3]), "only 0 bits");
    let dropped = shape.kv_heads;
    let of_dropped = &found.k[dropped * d..(dropped + 1) * d];
    assert!(of_dropped.iter().chain([&found.v[dropped]]).all(|sums| sums[0] == 0.0));
    for (layer, kv_head, channel) in
        [(0, 0, Some(1)), (0, 1, Some(d - 1)), (1, 1, Some(2)), (0, 0, None)]
    {
        let head = layer * shape.kv_heads + kv_head;
        let own = match channel {
            Some(channel) => found.k[head * d + channel][0],
            None => found.v[head][0],
        };
        let expected = expected(&model, &mask, (layer, kv_head), channel)[0];
        assert!(
            (own / expected - 1.0).abs() < 0.02,
            "{layer}.{kv_head} {channel:?}: {own} {expected}"
        );
        let dense = self::expected(&model, &ChannelMask::full(shape), (layer, kv_head), channel)[0];
        assert!((own / dense - 1.0).abs() > 0.02, "the mask makes a difference: {own} {dense}");
    }
}

#[test]
fn weights_on_a_device_are_refused() {
    let model = tiny_on_tensors("llama");
    let (prefix, branches) = branches();
    let sample = Sample::new(&model.decoder, &prefix, &branches).unwrap();
    let error =
        damage(&model.decoder, query(1, None), &sample, &mut |_| 0).unwrap_err().to_string();
    assert!(error.contains("--device cpu"), "{error}");
}

fn generated(bytes: usize, seed: u64) -> String {
    Haystack::default().passage(HaystackPart::Training, bytes, &mut SplitMix64::new(seed))
}

fn haystack(bytes: usize) -> Haystack {
    Haystack { pieces: vec![HaystackPiece::new("notes.txt".to_owned(), generated(bytes, 5))] }
}

/// Small enough for a test; the middle of a window's last row has 128 tokens.
fn settings(model: &Model) -> SensitivitySettings {
    SensitivitySettings {
        window: Window { sink: 16, recent: 64, chunk: 64 },
        windows: 2,
        window_tokens: 256,
        rows: 24,
        recall_samples: 1,
        ..SensitivitySettings::new(model.config())
    }
}

fn measured(model: &Model, settings: &SensitivitySettings) -> MeasuredSensitivity {
    measure(model, &haystack(20_000), settings, &mut |_| Ok(())).unwrap()
}

#[test]
fn a_measurement_is_the_same_to_the_bit_for_a_seed_on_any_number_of_threads() {
    let model = demo();
    let settings = settings(&model);
    let on = |threads, settings| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measured(&model, &settings))
    };
    let first = on(1, settings);
    assert_eq!(first, on(3, settings));
    assert_eq!(first.text_rows, 48);
    assert!(first.recall_rows > 0);
    assert_ne!(first.sensitivity, on(2, SensitivitySettings { seed: 1, ..settings }).sensitivity);
    let text = on(2, SensitivitySettings { recall_weight: 0.0, ..settings });
    assert_eq!(text.recall_rows, 0);
    // Recall only adds.
    let both = first.sensitivity.k_table().iter().zip(text.sensitivity.k_table());
    assert!(both.clone().all(|(both, text)| both >= text) && both.clone().any(|(b, t)| b > t));
}

#[test]
fn a_mask_that_is_pruned_in_rounds_is_measured_anew_as_it_shrinks() {
    let model = demo();
    let settings = settings(&model);
    let rounds = |shares: &[f64]| {
        let mut seen: Vec<(Sensitivity, f64)> = Vec::new();
        let masks = prune_in_rounds(
            &model,
            &haystack(20_000),
            &settings,
            (shares, 2),
            &mut |sensitivity, share, inside| {
                seen.push((sensitivity.clone(), share));
                let pruning = sensitivity.pruning()?;
                let scores = pruning.scores().iter().zip(inside.bits());
                let scores = scores.map(|(score, kept)| if *kept { *score } else { 0.0 }).collect();
                let importance = Importance::new(inside.shape(), scores)?;
                select(&importance, &Options::new(1.0 - share, 8))
            },
            &mut |_| Ok(()),
        );
        (masks, seen)
    };
    let (masks, seen) = rounds(&[0.8, 0.5]);
    let masks = masks.unwrap();
    let shares: Vec<f64> = seen.iter().map(|(_, share)| (share * 100.0).round() / 100.0).collect();
    assert_eq!(shares, [0.9, 0.8, 0.65, 0.5]);
    let within = masks[1].bits().iter().zip(masks[0].bits()).all(|(small, large)| !small || *large);
    assert!(within && masks[1].kept_ratio() < masks[0].kept_ratio());
    // The first round is the measurement of the dense model; the second sees another one.
    let dense = measured(&model, &settings).sensitivity;
    assert_eq!(seen[0].0.pruning().unwrap(), dense.pruning().unwrap());
    assert_ne!(seen[1].0, seen[0].0);
    assert_eq!(rounds(&[0.8, 0.5]).0.unwrap(), masks, "the same for the same seed");
    let error = rounds(&[0.5, 0.8]).0.unwrap_err().to_string();
    assert!(error.contains("smaller and smaller"), "{error}");
}

#[test]
fn progress_counts_samples_and_may_cancel() {
    let model = demo();
    let mut seen = Vec::new();
    let ended = measure(&model, &haystack(20_000), &settings(&model), &mut |progress| {
        seen.push((progress.done, progress.samples));
        if progress.done == 1 { Err(kscope::Error::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(ended, Err(kscope::Error::Cancelled)));
    assert_eq!(seen, [(0, 3), (1, 3)]);
}

#[test]
fn what_measures_nothing_is_refused_by_name() {
    let model = demo();
    let fine = settings(&model);
    let refused = |haystack: &Haystack, settings: SensitivitySettings| {
        measure(&model, haystack, &settings, &mut |_| panic!("something was computed"))
            .unwrap_err()
            .to_string()
    };
    let short = refused(&haystack(600), fine);
    assert!(short.starts_with("notes.txt is too short for a window of 256 tokens"), "{short}");
    let text = haystack(20_000);
    for (settings, part) in [
        (SensitivitySettings { windows: 0, ..fine }, "windows is 0"),
        (SensitivitySettings { draws: 0, ..fine }, "draws is 0"),
        (SensitivitySettings { window_tokens: 1 << 24, ..fine }, "longer than the model's context"),
        (SensitivitySettings { window_tokens: 140, ..fine }, "at least 144 are needed"),
        (SensitivitySettings { rows: 255, ..fine }, "at least 257 are needed"),
        (SensitivitySettings { recall_weight: f64::NAN, ..fine }, "weight of recall"),
    ] {
        let error = refused(&text, settings);
        assert!(error.contains(part), "{error}");
    }
    assert!(refused(&Haystack::default(), fine).contains("on a text"));
}

/// The mean KLD of forced decode after `prompt` where one channel of the prompt's middle keys is
/// coded with 2 bits, or dropped.
fn coded_kld(model: &Arc<Model>, prompt: &[u32], forced: &[u32], at: [usize; 3]) -> f64 {
    let config = model.config();
    let window = settings(model).window;
    let [layer, kv_head, channel] = at;
    let spec = dense(model, window, Dtype::F32);
    let mut caches = [SequenceCache::new(Arc::clone(&spec)), SequenceCache::new(spec)];
    let middle = window.sink..window.sink + window.middle(prompt.len());
    let (width, column) = (config.kv_width(), kv_head * config.head_dim + channel);
    let hooks = PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut |view| {
            let mut keys = view.k.to_vec();
            if view.layer == layer {
                for start in middle.clone().step_by(window.chunk) {
                    let places = (start..start + window.chunk).map(|token| token * width + column);
                    let group = Group::of(places.clone().map(|place| keys[place]), Width::Two);
                    for place in places {
                        keys[place] = group.number(group.code(keys[place], Width::Two));
                    }
                }
            }
            for (cache, keys) in caches.iter_mut().zip([&view.k[..], &keys]) {
                model.decoder.fill(cache, view.layer, keys, &view.v).unwrap();
            }
        },
    };
    model.decoder.prefill(prompt, &mut [], hooks).unwrap();
    let mut sum = 0.0;
    for &token in forced {
        let logits = caches.each_mut().map(|cache| {
            let mut buffers = StepBuffers::new(config, 1);
            model.decoder.step(&[token], &mut [cache], &mut buffers, &mut |_, _, _| ()).unwrap();
            buffers.logits
        });
        sum += StepDivergence::of(&logits[0], &logits[1], token).kld;
    }
    sum / forced.len() as f64
}

#[test]
fn channels_that_are_said_to_cost_more_do() {
    let model = demo();
    let settings = SensitivitySettings { recall_weight: 0.0, draws: 4, ..settings(&model) };
    let table = measured(&model, &settings).sensitivity;
    let shape: Shape = table.shape();
    let mut channels: Vec<(f32, [usize; 3])> = shape
        .each_head()
        .flat_map(|(layer, head)| (0..shape.head_dim).map(move |channel| [layer, head, channel]))
        .map(|at| (table.k(at[0], at[1], at[2], Width::Two), at))
        .collect();
    channels.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Another text than that of the measurement.
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let tokens = tokenizer.encode(&generated(4000, 99)).unwrap();
    let (prompt, forced) = (&tokens[..232], &tokens[232..256]);
    let mean = |some: &[(f32, [usize; 3])]| {
        let klds = some.iter().map(|(_, at)| coded_kld(&model, prompt, forced, *at));
        klds.sum::<f64>() / some.len() as f64
    };
    // The costliest, the first quarter's last, and the third quarter's last.
    let firsts = [0, channels.len() / 4, channels.len() * 3 / 4];
    let measured = firsts.map(|first| mean(&channels[first..first + 12]));
    println!("said {:?}, measured {measured:?}", firsts.map(|first| channels[first].0));
    assert!(measured[0] > 10.0 * measured[1] && measured[1] > 1.5 * measured[2], "{measured:?}");
}
