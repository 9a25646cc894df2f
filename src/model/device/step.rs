//! One token of each sequence. On a device the inputs and results of a step have fixed addresses, so
//! that a device which can record a step repeats it with one request.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use candle_core::{Device, Tensor};
use candle_nn::ops::rms_norm;

use super::address::keep_shapes;
use super::attend::{
    Attend, BATCHES, DeviceAttend, Recording, attend_here, begin_step, check_device_memory, rows,
};
use super::failed;
use super::launches::{Launches, Places};
use super::settings::StepSettings;
use super::weights::TensorWeights;
use crate::attention::Attention;
use crate::cache::SequenceCache;
use crate::element::Dtype;
use crate::model::config::Config;
use crate::numbers::counted;
use crate::{Error, Result};

/// State that decode steps keep from one to the next.
#[derive(Default)]
pub(super) struct KeptSteps {
    /// Kept steps on a device by the number of their launches; the last one is in use.
    kept: Vec<(u64, Kept)>,
    /// Memory by the number of sequences and the type of their caches. Steps share it: it is large,
    /// and read before the next step begins. What no kept step uses is given back.
    places: BTreeMap<(usize, Dtype), Arc<Places>>,
    counts: DeviceSteps,
}

/// What became of the steps on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceSteps {
    /// How they are made.
    #[serde(flatten)]
    pub settings: StepSettings,
    /// Bytes of the device's memory, where it knows them.
    pub memory_bytes: Option<u64>,
    /// All of them.
    pub steps: u64,
    /// Those that repeated a recording.
    pub repeated: u64,
    /// Why the last recording that failed did; its steps are made launch by launch, which is slower.
    pub not_recorded: Option<String>,
}

/// The steps of one set of launches. The first one is made launch by launch, which loads everything
/// that it needs; the second one is recorded; all others repeat the recording.
struct Kept {
    places: Arc<Places>,
    recording: State,
}

enum State {
    New,
    Warm,
    Recorded(Recording),
    /// Recording failed, or this step cannot be recorded.
    Never,
}

/// Names a key or value that a device rounded to infinity. Such a key may never show in the logits:
/// its scores may be minus infinity.
fn misfit(caches: &[&mut SequenceCache]) -> Error {
    caches.iter().find_map(|cache| cache.first_not_finite()).unwrap_or_else(|| {
        Error::run("a key or value of this step is no finite number, but none is stored")
    })
}

/// The inputs of a decode step, on the host.
pub(super) struct StepInput<'a> {
    /// One token of each sequence.
    pub tokens: &'a [u32],
    /// cos and sin of each token's position, one after the other for each kind of layers: `[kinds
    /// batch, head_dim / 2]`.
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    /// Which kind each layer is.
    pub kinds: &'a [usize],
}

/// A decoder's weights, as its steps read them.
#[derive(Clone, Copy)]
pub(super) struct Over<'a> {
    pub(super) config: &'a Config,
    pub(super) weights: &'a TensorWeights,
    pub(super) device: &'a Device,
    /// Locked for writing while a step is recorded, so that no other thread uses the device.
    pub(super) shared: &'a RwLock<()>,
}

impl KeptSteps {
    /// One step: writes the next-token logits. The result holds the rotated queries of all layers,
    /// `[layers, batch, heads * head_dim]`, until the next step.
    pub(super) fn step(
        &mut self,
        over: Over<'_>,
        attend: &mut Attend,
        input: StepInput<'_>,
        caches: &mut [&mut SequenceCache],
        logits: &mut [f32],
    ) -> Result<Tensor> {
        let device = match attend {
            Attend::Host(attention) => return over.step_here(attention, &input, caches, logits),
            Attend::Device(device) => device,
        };
        let Some(kv) = caches.first().map(|cache| cache.spec().dtype()) else {
            return Err(Error::run("a step of no sequence"));
        };
        let places = match self.places.get(&(caches.len(), kv)) {
            Some(places) => Arc::clone(places),
            None => {
                self.places.retain(|_, places| Arc::strong_count(places) > 1);
                let sequences = counted(caches.len(), "sequence", "sequences");
                let what = format!("the working memory of steps of {sequences}");
                check_device_memory(&**device, &what, Places::bytes(over.config, &input, kv))?;
                let places = Arc::new(Places::new(over, &input, kv)?);
                self.places.insert((caches.len(), kv), Arc::clone(&places));
                places
            }
        };
        // Last of what may be refused, for it counts the new tokens.
        let launches = begin_step(&mut **device, caches, over.config.heads)?;
        let recording =
            if over.weights.can_record(caches.len()) { State::New } else { State::Never };
        let new = Kept { places: Arc::clone(&places), recording };
        let kept = kept_of(&mut self.kept, launches, new);
        places.write(&**device, &input)?;
        over.run(&**device, kept, &mut self.counts)?;
        device.read_logits(&places.logits, logits)?;
        match device.misfits()? {
            false => Ok(places.queries.clone()),
            true => Err(misfit(caches)),
        }
    }

    /// What became of the steps so far.
    pub(super) fn counts(&self) -> &DeviceSteps {
        &self.counts
    }
}

/// The kept state of the launches with this number, marked as in use.
fn kept_of(all: &mut Vec<(u64, Kept)>, launches: u64, new: Kept) -> &mut Kept {
    let entry = match all.iter().position(|(of, _)| *of == launches) {
        Some(at) => all.remove(at),
        None => {
            if all.len() >= BATCHES {
                all.remove(0);
            }
            (launches, new)
        }
    };
    all.push(entry);
    &mut all.last_mut().expect("just pushed").1
}

impl Over<'_> {
    /// One step on a device: makes, records or repeats it, depending on what was done before.
    fn run(
        self,
        device: &dyn DeviceAttend,
        kept: &mut Kept,
        counts: &mut DeviceSteps,
    ) -> Result<()> {
        let Kept { places, recording } = kept;
        let mut work = || {
            let _kept = keep_shapes(self.device);
            Launches { config: self.config, device, places }.submit(self)
        };
        if matches!(recording, State::Warm)
            && let Ok(_alone) = self.shared.try_write()
        {
            *recording = match device.record(&mut work) {
                Ok(recorded) => State::Recorded(recorded),
                Err(cause) => {
                    let cause = cause.to_string();
                    // Said once, however many batches there are.
                    if counts.not_recorded.as_ref() != Some(&cause) {
                        tracing::warn!(
                            "decode steps go to the GPU launch by launch, which is slower: {cause}"
                        );
                    }
                    counts.not_recorded = Some(cause);
                    State::Never
                }
            };
        }
        counts.steps += 1;
        match recording {
            State::Recorded(recorded) => {
                counts.repeated += 1;
                device.repeat(recorded, &mut work)
            }
            State::Never => work(),
            State::New | State::Warm => {
                *recording = State::Warm;
                work()
            }
        }
    }

    /// One step over caches in this process's memory, by candle but for attention. The result is
    /// that of [`KeptSteps::step`].
    fn step_here(
        self,
        attention: &mut Attention,
        input: &StepInput<'_>,
        caches: &mut [&mut SequenceCache],
        logits: &mut [f32],
    ) -> Result<Tensor> {
        let Self { config, weights, device, .. } = self;
        let batch = caches.len();
        let angles = |values: &[f32]| {
            let pairs = config.head_dim / 2;
            Tensor::from_slice(values, (values.len() / pairs, pairs), device).map_err(failed)
        };
        let (cos, sin) = (angles(input.cos)?, angles(input.sin)?);
        let mut x = weights.embedded(config, input.tokens).map_err(failed)?;
        let mut queries = Vec::with_capacity(config.layers);
        for (at, layer) in weights.layers.iter().enumerate() {
            let turn = |angles: &Tensor| angles.narrow(0, input.kinds[at] * batch, batch);
            let (cos, sin) = (turn(&cos).map_err(failed)?, turn(&sin).map_err(failed)?);
            let [q, k, v] = layer.project(config, &x, [&cos, &sin]).map_err(failed)?;
            let attended = attend_here(attention, caches, at, [&q, &k, &v])?;
            queries.push(q);
            x = layer.finish(config, &x, &attended, batch).map_err(failed)?;
        }
        let last = rms_norm(&x, &weights.norm, config.rms_eps)
            .and_then(|states| weights.head.apply(&states));
        logits.copy_from_slice(&rows(&last.map_err(failed)?)?);
        Tensor::stack(&queries, 0).map_err(failed)
    }
}
