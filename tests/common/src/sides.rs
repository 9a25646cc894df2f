//! Shared code of the tests of dense against pruned decode: prompts, specifications, and a
//! comparison.

use std::sync::Arc;

use kscope::cache::CacheSpec;
use kscope::decode::comparison::{Comparison, ComparisonSetup, Mode, Sides};
use kscope::decode::sampler::Sampling;
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope::model::Model;
use kscope::model::decoder::with_quiet_hooks;
use kscope::model::demo::generator::{DemoSpec, DemoText};
use rand::{Rng, rngs::StdRng};

pub const WINDOW: Window = Window { sink: 8, recent: 32, chunk: 16 };

pub fn prompt(model: &Model, seed: u64, chars: usize) -> Vec<u32> {
    let sample =
        DemoText::draw(&DemoSpec { seed, target_chars: chars, facts: 4, ..DemoSpec::default() })
            .unwrap();
    model.tokenizer.as_ref().unwrap().encode(&sample.prompt()).unwrap()
}

pub fn spec(
    model: &Model,
    window: Window,
    keep: impl FnMut(usize, usize, usize) -> bool,
) -> Arc<CacheSpec> {
    let shape = model.config().mask_shape();
    Arc::new(CacheSpec::new(shape, window, Dtype::F32, ChannelMask::from_fn(shape, keep)).unwrap())
}

pub fn compare(
    model: &Arc<Model>,
    pruned: &Arc<CacheSpec>,
    mode: Mode,
    prompts: Vec<Vec<u32>>,
) -> Comparison {
    let setup = ComparisonSetup {
        prompts,
        dense: spec(model, WINDOW, |_, _, _| true),
        pruned: Arc::clone(pruned),
        sampling: Sampling::default(),
        mode,
        context: usize::MAX,
    };
    with_quiet_hooks(|hooks| Comparison::start(Arc::clone(model), setup, hooks)).unwrap()
}

pub fn steps(comparison: &mut Comparison, count: usize) {
    (0..count).for_each(|_| comparison.step(Sides::Both, &mut |_, _, _| ()).unwrap());
}

/// A random window, and heads that keep all, none, or a random share of their channels.
pub fn random_spec(model: &Model, random: &mut StdRng) -> Arc<CacheSpec> {
    let shape = model.config().mask_shape();
    let window = Window {
        sink: random.random_range(0..40),
        recent: random.random_range(1..80),
        chunk: random.random_range(1..40),
    };
    let share: Vec<f64> = (0..shape.heads())
        .map(|_| [0.0, 1.0, random.random()][random.random_range(0..3)])
        .collect();
    spec(model, window, |layer, head, _| random.random_bool(share[layer * shape.kv_heads + head]))
}
