//! Shared code of the model tests: the committed vectors, model folders assembled from them, and a
//! manual decode.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use kscope::attention::Attention;
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::decode::sampler::{Sampling, argmax};
use kscope::decode::session::{Request, Session};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope::model::Model;
use kscope::model::decoder::{PrefillHooks, StepBuffers, with_quiet_hooks};
use kscope::model::device::{Attend, Placement};
use kscope::model::load::{Opened, Source};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::{error, vectors};

/// Tiny models of every kind of block, for what learns from them.
pub const LEARNED: [&str; 8] = [
    "llama",
    "llama-gqa3",
    "qwen2-yarn-type",
    "qwen3",
    "olmo2",
    "granite",
    "smollm3",
    "phi3-partial",
];

/// Tiny models with windows, soft caps or experts, which run on the CPU alone at the lengths of the
/// tests.
pub const LEARNED_ON_HOST: [&str; 7] =
    ["ministral", "qwen2-window", "gemma2", "gemma3", "mixtral", "qwen3-moe", "qwen3-moe-mixed"];

/// A window so small that chunks move from the first decode steps on.
pub const SMALL: Window = Window { sink: 4, recent: 24, chunk: 8 };

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The ids in a JSON list.
pub fn ids(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// A model folder from `tests/vectors/tiny`: configuration, weights and tokenizer in one place.
pub fn tiny_folder(name: &str) -> tempfile::TempDir {
    let tiny = vectors().join("tiny");
    let cases = json(&tiny.join("cases.json"));
    let case = cases["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tiny.join(name).join("config.json"), folder.path().join("config.json")).unwrap();
    for from in [tiny.join(case["weights"].as_str().unwrap()), tiny.join("tokenizer")] {
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    let config = json(&folder.path().join("config.json"));
    if ["qwen2", "qwen3", "qwen3_moe"].contains(&config["model_type"].as_str().unwrap()) {
        say_steps_of_qwen(folder.path());
    }
    folder
}

/// Qwen's folders say in `tokenizer.json`, too, what its class does to a text.
fn say_steps_of_qwen(folder: &Path) {
    const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let path = folder.join("tokenizer.json");
    let mut tokenizer = json(&path);
    tokenizer["normalizer"] = serde_json::json!({"type": "NFC"});
    tokenizer["pre_tokenizer"] = serde_json::json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
    ]});
    std::fs::write(&path, tokenizer.to_string()).unwrap();
}

/// A model folder from `tests/vectors/tiny` with one number of one tensor changed.
pub fn changed_number(name: &str, tensor: &str, at: usize, number: f32) -> tempfile::TempDir {
    let folder = tiny_folder(name);
    change_numbers(folder.path(), tensor, [(at, number)]);
    folder
}

/// Changes numbers of one tensor of a model folder, by their places.
pub fn change_numbers(
    folder: &Path,
    tensor: &str,
    numbers: impl IntoIterator<Item = (usize, f32)>,
) {
    let path = folder.join("model.safetensors");
    let mut file = std::fs::read(&path).unwrap();
    let end = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..end]).unwrap();
    let first = end + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    for (at, number) in numbers {
        let bytes = match header[tensor]["dtype"].as_str() {
            Some("F32") => number.to_le_bytes().to_vec(),
            Some("BF16") => half::bf16::from_f32(number).to_le_bytes().to_vec(),
            other => panic!("{tensor} of {other:?}"),
        };
        file[first + bytes.len() * at..][..bytes.len()].copy_from_slice(&bytes);
    }
    std::fs::write(&path, file).unwrap();
}

/// The configuration and tokenizer of a model in a folder or GGUF file.
pub fn open(path: &Path) -> Opened {
    Opened::open(&Source::resolve(path.to_str().unwrap()).unwrap()).unwrap()
}

pub fn load(path: &Path, dtype: Option<Dtype>) -> Arc<Model> {
    Arc::new(open(path).load(dtype, &mut |_| Ok(())).unwrap())
}

/// One of the tiny models, with its weights as stored.
pub fn tiny(name: &str) -> Arc<Model> {
    load(tiny_folder(name).path(), None)
}

/// candle's CPU device with caches in memory: replaces a GPU in tests.
pub fn on_cpu() -> Placement {
    Placement {
        device: Device::Cpu,
        name: "tensors".to_owned(),
        attend: Attend::Host(Attention::new()),
    }
}

/// One of the tiny models over tensors, with its weights as stored.
pub fn tiny_on_tensors(name: &str) -> Arc<Model> {
    Arc::new(open(tiny_folder(name).path()).load_on(None, Some(on_cpu()), &mut |_| Ok(())).unwrap())
}

/// The vectors of one safetensors file.
pub struct Vectors(Vec<u8>);

impl Vectors {
    pub fn open(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        tensor.data().as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
    }

    pub fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let all: Vec<f32> = tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        all.chunks(tensor.shape()[1]).map(<[f32]>::to_vec).collect()
    }
}

/// Largest difference relative to the largest expected value of all rows.
pub fn rows_error(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    error(&found.concat(), &expected.concat())
}

/// The specification of a cache without pruning: the full mask, with a window that moves chunks.
pub fn dense(model: &Model, window: Window, dtype: Dtype) -> Arc<CacheSpec> {
    masked(model, window, dtype, ChannelMask::full(model.config().mask_shape()))
}

pub fn masked(model: &Model, window: Window, dtype: Dtype, mask: ChannelMask) -> Arc<CacheSpec> {
    Arc::new(CacheSpec::new(model.config().mask_shape(), window, dtype, mask).unwrap())
}

/// A prompt's cache and normalised hidden states.
pub fn prefill(
    model: &Model,
    spec: &Arc<CacheSpec>,
    prompt: &[u32],
    chunk: usize,
) -> (SequenceCache, Vec<f32>) {
    let mut cache = SequenceCache::new(Arc::clone(spec));
    let states = with_quiet_hooks(|hooks| {
        model.decoder.prefill(prompt, &mut [&mut cache], PrefillHooks { chunk, ..hooks })
    });
    (cache, states.unwrap().rows(0..prompt.len()).unwrap())
}

/// Logits after every token of a prompt.
pub fn prompt_logits(model: &Model, prompt: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    let (_, states) = prefill(model, &dense(model, SMALL, Dtype::F32), prompt, chunk);
    model
        .decoder
        .logits(&states)
        .unwrap()
        .chunks(model.config().vocab)
        .map(<[f32]>::to_vec)
        .collect()
}

/// Logits after each of `fed`, through decode steps of one sequence.
pub fn step_logits(model: &Model, cache: &mut SequenceCache, fed: &[u32]) -> Vec<Vec<f32>> {
    let mut buffers = StepBuffers::new(model.config(), 1);
    let mut step = |&token| {
        model.decoder.step(&[token], &mut [cache], &mut buffers, &mut |_, _, _| ()).unwrap();
        buffers.logits.clone()
    };
    fed.iter().map(&mut step).collect()
}

/// Reference results for one model.
pub struct Expected {
    pub prompt: Vec<u32>,
    pub positions: Vec<usize>,
    pub logits: Vec<Vec<f32>>,
    pub greedy: Vec<u32>,
    pub decode_logits: Vec<Vec<f32>>,
}

/// Prefills and decodes as the reference did; checks every logit to `tolerance` (relative to the
/// largest) and every greedy choice.
pub fn check_decode(
    what: &str,
    model: &Model,
    spec: &Arc<CacheSpec>,
    expected: &Expected,
    tolerance: f64,
) {
    let (mut cache, states) = prefill(model, spec, &expected.prompt, PrefillHooks::CHUNK);
    let hidden = model.config().hidden;
    let at =
        |&position: &usize| model.decoder.logits(&states[position * hidden..][..hidden]).unwrap();
    let logits: Vec<_> = expected.positions.iter().map(at).collect();
    let decoded = step_logits(model, &mut cache, &expected.greedy);
    let errors =
        [rows_error(&logits, &expected.logits), rows_error(&decoded, &expected.decode_logits)];
    assert!(errors[0] <= tolerance, "{what}: prefill logits are off by {:e}", errors[0]);
    assert!(errors[1] <= tolerance, "{what}: decode logits are off by {:e}", errors[1]);
    assert_eq!(
        *expected.positions.last().unwrap(),
        expected.prompt.len() - 1,
        "the last logits give the first token"
    );
    let choices = logits.last().into_iter().chain(&decoded).map(|logits| argmax(logits));
    let greedy: Vec<u32> = choices.take(expected.greedy.len()).collect();
    assert_eq!(greedy, expected.greedy, "{what}: greedy tokens");
}

/// A request that decodes greedily.
pub fn greedy(model: &Model, prompts: Vec<Vec<u32>>, max_new: usize) -> Request {
    Request {
        prompts,
        sampling: Sampling::default(),
        max_new,
        forced: None,
        context: model.config().max_context,
        ignore_end: false,
    }
}

/// Runs a request to its end.
pub fn run(model: &Arc<Model>, spec: &Arc<CacheSpec>, request: Request) -> kscope::Result<Session> {
    let (mut session, _) =
        with_quiet_hooks(|hooks| Session::start(Arc::clone(model), spec, request, true, hooks))?;
    while !session.is_finished() {
        session.step(&mut |_, _, _| ())?;
    }
    Ok(session)
}
