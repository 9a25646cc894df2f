//! One token of each sequence, over tensors that stay in place. The inputs and results of a step
//! have fixed addresses, so that a device which can record a step repeats it with one request.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::rms_norm;

use super::address::keep_shapes;
use super::attend::{
    Attend, BATCHES, DeviceAttend, Recording, attend_here, attend_there, begin_step, rows,
};
use super::failed;
use super::weights::TensorWeights;
use crate::cache::SequenceCache;
use crate::model::config::Config;
use crate::{Error, Result};

/// State that decode steps keep from one to the next.
#[derive(Default)]
pub(super) struct KeptSteps {
    /// Kept steps on a device by the number of their launches; the last one is in use.
    kept: Vec<(u64, Kept)>,
    /// Inputs and results by the number of sequences. Steps of the same number share them: they are
    /// large, and read before the next step begins.
    places: BTreeMap<usize, Arc<Places>>,
}

/// The steps of one set of launches. The first one is made launch by launch, which loads everything that it
/// needs; the second one is recorded; all others repeat the recording.
struct Kept {
    places: Arc<Places>,
    recording: State,
}

enum State {
    New,
    Warm,
    Recorded(Recording),
    /// The device cannot record, or this step cannot be recorded.
    Never,
}

/// Tensors that a step reads from and writes to.
pub(super) struct Places {
    /// Embedded tokens, `[batch, hidden]`.
    x: Tensor,
    /// cos and sin of each token's position, one after the other for each kind of layers: `[kinds
    /// batch, head_dim / 2]`.
    cos: Tensor,
    sin: Tensor,
    /// Which kind each layer is.
    kinds: Vec<usize>,
    /// `[batch, vocab]`.
    logits: Tensor,
    /// Rotated queries of every layer, `[layers, batch, heads * head_dim]`.
    pub(super) queries: Tensor,
}

impl Places {
    fn new(
        Over { config, device, .. }: Over<'_>,
        input: &StepInput<'_>,
        batch: usize,
    ) -> Result<Self> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device).map_err(failed);
        let given = |values: &[f32], width: usize| {
            Tensor::from_slice(values, (values.len() / width, width), device).map_err(failed)
        };
        let pairs = config.head_dim / 2;
        Ok(Self {
            x: given(input.x, config.hidden)?,
            cos: given(input.cos, pairs)?,
            sin: given(input.sin, pairs)?,
            kinds: input.kinds.to_vec(),
            logits: zeros(&[batch, config.vocab])?,
            queries: zeros(&[config.layers, batch, config.q_width()])?,
        })
    }
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
    /// Embedded tokens, `[batch, hidden]`.
    pub x: &'a [f32],
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
    /// One step: writes the next-token logits. The queries of all layers are in the result, until
    /// the next step.
    pub(super) fn step(
        &mut self,
        over: Over<'_>,
        attend: &mut Attend,
        input: StepInput<'_>,
        caches: &mut [&mut SequenceCache],
        logits: &mut [f32],
    ) -> Result<Arc<Places>> {
        let batch = caches.len();
        match attend {
            Attend::Host(attention) => {
                let places = Places::new(over, &input, batch)?;
                over.forward(&places, &mut |layer, qkv| {
                    attend_here(attention, caches, layer, qkv)
                })?;
                logits.copy_from_slice(&rows(&places.logits)?);
                Ok(Arc::new(places))
            }
            Attend::Device(device) => {
                let launches = begin_step(&mut **device, caches, over.config.heads)?;
                let places = match self.places.get(&batch) {
                    Some(places) => Arc::clone(places),
                    None => {
                        let places = Arc::new(Places::new(over, &input, batch)?);
                        self.places.insert(batch, Arc::clone(&places));
                        places
                    }
                };
                let recording =
                    if over.weights.can_record(batch) { State::New } else { State::Never };
                let kept = self.of(launches, Kept { places: Arc::clone(&places), recording });
                let Places { x, cos, sin, .. } = &*places;
                [(x, input.x), (cos, input.cos), (sin, input.sin)]
                    .into_iter()
                    .try_for_each(|(to, from)| device.write(to, from))?;
                over.run(&**device, kept, caches)?;
                device.read_logits(&places.logits, logits)?;
                match device.misfits()? {
                    false => Ok(places),
                    true => Err(misfit(caches)),
                }
            }
        }
    }

    /// The kept state of the launches with this number, marked as in use.
    fn of(&mut self, launches: u64, new: Kept) -> &mut Kept {
        let entry = match self.kept.iter().position(|(of, _)| *of == launches) {
            Some(at) => self.kept.remove(at),
            None => {
                if self.kept.len() >= BATCHES {
                    self.kept.remove(0);
                }
                (launches, new)
            }
        };
        self.kept.push(entry);
        &mut self.kept.last_mut().expect("just pushed").1
    }
}

impl Over<'_> {
    /// One step on a device: makes, records or repeats it, depending on what was done before.
    fn run(
        self,
        device: &dyn DeviceAttend,
        kept: &mut Kept,
        caches: &[&mut SequenceCache],
    ) -> Result<()> {
        let kv = caches[0].spec().dtype();
        let Kept { places, recording } = kept;
        let mut work = || {
            let _kept = keep_shapes(self.device);
            self.forward(places, &mut |layer, qkv| attend_there(device, kv, layer, qkv))
        };
        if matches!(recording, State::Warm)
            && let Ok(_alone) = self.shared.try_write()
        {
            *recording = device.record(&mut work)?.map_or(State::Never, State::Recorded);
        }
        match recording {
            State::Recorded(recorded) => device.repeat(recorded, &mut work),
            State::Never => work(),
            State::New | State::Warm => {
                *recording = State::Warm;
                work()
            }
        }
    }

    /// All layers over one token of each sequence, from and to `places`. All other memory that it
    /// allocates is freed.
    fn forward(
        self,
        places: &Places,
        attend: &mut dyn FnMut(usize, [&Tensor; 3]) -> Result<Tensor>,
    ) -> Result<()> {
        let Places { x, cos, sin, kinds, logits, queries } = places;
        let batch = x.dim(0).map_err(failed)?;
        let mut x = x.clone();
        for (at, layer) in self.weights.layers.iter().enumerate() {
            let turn = |angles: &Tensor| angles.narrow(0, kinds[at] * batch, batch);
            let (cos, sin) = (turn(cos).map_err(failed)?, turn(sin).map_err(failed)?);
            let [q, k, v] = layer.project(self.config, &x, [&cos, &sin]).map_err(failed)?;
            let attended = attend(at, [&q, &k, &v])?;
            q.unsqueeze(0).and_then(|q| queries.slice_set(&q, 0, at)).map_err(failed)?;
            x = layer.finish(self.config, &x, &attended, batch).map_err(failed)?;
        }
        let last = || {
            logits.slice_set(
                &self.weights.head.apply(&rms_norm(
                    &x,
                    &self.weights.norm,
                    self.config.rms_eps,
                )?)?,
                0,
                0,
            )
        };
        last().map_err(failed)
    }
}
