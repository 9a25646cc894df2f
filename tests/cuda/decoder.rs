//! The forward pass over candle's tensors, which is what runs on a GPU, against the one on the
//! host: on candle's CPU device with caches in memory, and with caches and attention on the
//! simulated GPU, where whole models run through the CUDA kernels.

use std::sync::Arc;

use candle_core::Device;
use kscope::attention::channel_activity;
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::decode::comparison::{Comparison, ComparisonSetup, Mode, Sides};
use kscope::decode::sampler::{Sampling, argmax};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope::model::Model;
use kscope::model::decoder::{PrefillHooks, StepBuffers, with_quiet_hooks};
use kscope::model::device::{Attend, DeviceAttention, Placement, StepSettings};
use kscope::model::load::{Opened, Source};
use kscope::model::observed::ObservedRows;
use kscope_sim::Schedule;
use kscope_testing::models::{SMALL, on_cpu, open, tiny_folder};
use kscope_testing::vectors;

use crate::simulator::Simulator;

/// candle's CPU device, with caches and attention on a simulated GPU.
pub fn on_simulator() -> Placement {
    on_gpu(&simulator())
}

pub fn simulator() -> Arc<Simulator> {
    Arc::new(Simulator::new(
        "kscope",
        &[Schedule::Forward, Schedule::Backward, Schedule::Random(5)],
    ))
}

pub fn on_gpu(gpu: &Arc<Simulator>) -> Placement {
    let attention = DeviceAttention::new(Arc::clone(gpu), StepSettings::default());
    let attend = Attend::Device(Box::new(attention));
    Placement { device: Device::Cpu, name: "simulated GPU".to_owned(), attend }
}

pub fn loaded(opened: Opened, dtype: Option<Dtype>, placement: Option<Placement>) -> Arc<Model> {
    Arc::new(opened.load_on(dtype, placement, &mut |_| Ok(())).unwrap())
}

/// Keeps every third channel of every head, and drops one head where there are several.
pub fn third(model: &Model) -> ChannelMask {
    let shape = model.config().mask_shape();
    ChannelMask::from_fn(shape, |layer, head, channel| {
        (shape.kv_heads == 1 || layer + head != 1) && channel % 3 == 0
    })
}

/// Logits of a prefill and of every decode step over a ragged batch, fed `steps` tokens that the
/// first model chose.
pub fn decode(
    model: &Model,
    spec: &Arc<CacheSpec>,
    prompts: &[Vec<u32>],
    fed: &[Vec<u32>],
) -> (Vec<Vec<f32>>, Vec<SequenceCache>) {
    let mut logits = Vec::new();
    let mut caches = Vec::new();
    for prompt in prompts {
        let mut cache = SequenceCache::new(Arc::clone(spec));
        let states =
            with_quiet_hooks(|hooks| model.decoder.prefill(prompt, &mut [&mut cache], hooks))
                .unwrap();
        assert_eq!(states.tokens(), prompt.len());
        assert_eq!(states.rows(prompt.len() - 1..prompt.len()).unwrap(), states.last().unwrap());
        logits.push(model.decoder.logits(&states.last().unwrap()).unwrap());
        caches.push(cache);
    }
    let mut buffers = StepBuffers::new(model.config(), prompts.len());
    for tokens in fed {
        let mut all: Vec<&mut SequenceCache> = caches.iter_mut().collect();
        let mut seen = 0;
        let mut observe = |layer: usize, q: &ObservedRows<'_>, caches: &[&mut SequenceCache]| {
            assert_eq!((layer, q.len()), (seen, caches.len() * model.config().q_width()));
            seen += 1;
        };
        model.decoder.step(tokens, &mut all, &mut buffers, &mut observe).unwrap();
        assert_eq!(seen, model.config().layers);
        logits.push(buffers.logits.clone());
    }
    (logits, caches)
}

pub fn prompts(model: &Model, lengths: &[usize]) -> Vec<Vec<u32>> {
    let vocab = model.config().vocab;
    lengths
        .iter()
        .enumerate()
        .map(|(i, &n)| (0..n).map(|t| ((t * 31 + i * 7 + 3) % vocab) as u32).collect())
        .collect()
}

/// Largest difference of two logits, relative to their range.
fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mut worst = 0.0f32;
    for (a, b) in a.iter().zip(b) {
        let largest = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!(a.is_finite() && b.is_finite());
            worst = worst.max((a - b).abs() / largest);
        }
    }
    worst
}

pub fn compare(
    name: &str,
    plain: &Model,
    tensors: &Model,
    spec: CacheSpec,
    lengths: &[usize],
    steps: usize,
    allowed: f32,
) {
    let spec = Arc::new(spec);
    let prompts = prompts(plain, lengths);
    let fed: Vec<Vec<u32>> = (0..steps)
        .map(|s| lengths.iter().map(|&n| ((n + s * 5) % plain.config().vocab) as u32).collect())
        .collect();
    let (expected, plain_caches) = decode(plain, &spec, &prompts, &fed);
    let (found, caches) = decode(tensors, &spec, &prompts, &fed);
    let apart = apart(&expected, &found);
    println!("{name}: logits differ by {apart:.1e} of the largest");
    assert!(apart <= allowed, "{name}: logits differ by {apart:e}");
    for (plain, cache) in plain_caches.iter().zip(&caches) {
        assert_eq!(plain.tokens(), cache.tokens());
        assert!(
            cache.bytes().total() >= plain.bytes().total()
                && cache.allocated() >= cache.bytes().total()
        );
    }
}

#[test]
fn every_tiny_model_gives_the_plain_logits() {
    let mut names: Vec<String> = std::fs::read_dir(vectors().join("tiny"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("config.json").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        let folder = tiny_folder(&name);
        let plain = loaded(open(folder.path()), Some(Dtype::F32), None);
        let there = open(folder.path()).load_on(Some(Dtype::F32), Some(on_cpu()), &mut |_| Ok(()));
        let tensors = match there {
            Ok(tensors) => Arc::new(tensors),
            Err(error) => {
                let sentence = error.to_string();
                let cause = match name.as_str() {
                    "gemma2" => "caps",
                    _ if name.starts_with("mixtral") || name.starts_with("qwen3-moe") => "expert",
                    _ => panic!("{name}: {sentence}"),
                };
                assert!(sentence.contains(cause), "{name}: {sentence}");
                continue;
            }
        };
        assert_eq!(tensors.decoder.device_name(), "tensors");
        // On a device the context ends at the shortest window.
        if tensors.config().max_context < 56 {
            assert!(tensors.config().longest().contains("sliding_window"), "{name}");
            continue;
        }
        let spec =
            CacheSpec::new(plain.config().mask_shape(), SMALL, Dtype::F32, third(&plain)).unwrap();
        compare(&name, &plain, &tensors, spec, &[50, 9], 6, 1e-4);
    }
}

/// The tiny models' configs with heads that the kernels support: every kind of norm, bias, factor,
/// gate and rotation goes through the kernels.
#[test]
fn cuda_sim_every_architecture_decodes_through_the_kernels() {
    let (mut tried, mut refused) = (Vec::new(), 0);
    for entry in std::fs::read_dir(vectors().join("tiny")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Lists of factors have the length of the heads.
        if !path.join("config.json").exists() || name.contains("longrope") {
            continue;
        }
        let text = std::fs::read_to_string(path.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, number) in [
            ("hidden_size", 192),
            ("num_attention_heads", 3),
            ("num_key_value_heads", if name.contains("phi3") { 3 } else { 1 }),
            ("head_dim", 64),
            ("num_hidden_layers", 2),
        ] {
            config[key] = number.into();
        }
        if let Some(kinds) = config.get_mut("layer_types").and_then(|kinds| kinds.as_array_mut()) {
            kinds.truncate(2);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let source = Source::random(file.to_str().unwrap(), None, 11)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let open = || Opened::open(&source).unwrap();
        let plain = loaded(open(), Some(Dtype::F32), None);
        let Ok(tensors) = open().load_on(Some(Dtype::F32), Some(on_simulator()), &mut |_| Ok(()))
        else {
            refused += 1;
            continue;
        };
        let lengths = if tensors.config().max_context < 40 { [12, 5] } else { [30, 5] };
        let spec =
            CacheSpec::new(plain.config().mask_shape(), SMALL, Dtype::F16, third(&plain)).unwrap();
        compare(&name, &plain, &tensors, spec, &lengths, 4, 2e-3);
        tried.push(name);
    }
    println!("{} models through the kernels, {refused} refused: {tried:?}", tried.len());
    for kind in ["gemma3", "granite", "olmo2", "phi3-partial", "qwen2", "qwen3", "smollm3"] {
        assert!(tried.iter().any(|name| name == kind), "{kind} is not among {tried:?}");
    }
}

/// Quantised weights are multiplied by candle, part by part; everything else is the kernels'. On the
/// CPU candle's products round activations to 8 bits, so that a prompt's keys in 16 bits, which are
/// the kernels', put some of them on the other side: two hundredths of the largest logit.
#[test]
fn cuda_sim_quantised_weights_decode_through_the_kernels() {
    for name in ["llama-q4_k", "llama-q5_k", "llama-q6_k"] {
        let path = vectors().join(format!("gguf/{name}.gguf"));
        let mut gpu = Simulator::new("kscope", &[Schedule::Forward, Schedule::Random(2)]);
        gpu.moves = true;
        let gpu = Arc::new(gpu);
        let here = loaded(open(&path), None, Some(on_cpu()));
        let there = loaded(open(&path), None, Some(on_gpu(&gpu)));
        assert_eq!(here.config().head_dim, 64);
        let spec = CacheSpec::dense(here.config().mask_shape(), SMALL, Dtype::F16).unwrap();
        compare(name, &here, &there, spec, &[20, 3], 4, 5e-2);
        assert!(gpu.repeated() > 1, "{name}");
    }
}

/// A model whose heads the kernels support: random weights with the shape of a config written here.
pub fn random(
    head_dim: usize,
    heads: usize,
    kv_heads: usize,
    placement: Option<Placement>,
) -> Arc<Model> {
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": 300, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 2048, "tie_word_embeddings": true
    });
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let source = Source::random(path.to_str().unwrap(), None, 7).unwrap();
    loaded(Opened::open(&source).unwrap(), Some(Dtype::F32), placement)
}

#[test]
fn cuda_sim_whole_models_decode_through_the_kernels() {
    for (head_dim, heads, kv_heads, dtype) in
        [(64, 6, 2, Dtype::F16), (64, 3, 3, Dtype::Bf16), (128, 8, 1, Dtype::F16)]
    {
        let plain = random(head_dim, heads, kv_heads, None);
        let tensors = random(head_dim, heads, kv_heads, Some(on_simulator()));
        let spec = |mask| CacheSpec::new(plain.config().mask_shape(), SMALL, dtype, mask).unwrap();
        let allowed = if dtype == Dtype::F16 { 2e-3 } else { 2e-2 };
        let name = format!("{dtype} d {head_dim}, {heads} on {kv_heads} heads");
        compare(
            &format!("{name}, dense"),
            &plain,
            &tensors,
            spec(ChannelMask::full(plain.config().mask_shape())),
            &[60, 9],
            5,
            allowed,
        );
        compare(
            &format!("{name}, pruned"),
            &plain,
            &tensors,
            spec(third(&plain)),
            &[60, 9],
            10,
            allowed,
        );
    }
}

/// Without a dense side a mask can still prune further, on a device too. A mask that keeps more
/// than is stored is refused by name.
#[test]
fn cuda_sim_a_pruned_cache_narrows() {
    let models = [random(64, 4, 2, None), random(64, 4, 2, Some(on_simulator()))];
    let shape = models[0].config().mask_shape();
    let spec = |window, mask| Arc::new(CacheSpec::new(shape, window, Dtype::F16, mask).unwrap());
    let smaller = Window { sink: 2, recent: 12, chunk: 4 };
    let sixth = ChannelMask::from_fn(shape, |layer, head, channel| {
        layer + head != 1 && head != 0 && channel % 6 == 0
    });
    let logits = models.map(|model| {
        let prompts = prompts(&model, &[90]);
        let fed: Vec<Vec<u32>> = (0..6).map(|step| vec![step * 5 + 1]).collect();
        let (mut logits, mut caches) = decode(&model, &spec(SMALL, third(&model)), &prompts, &fed);
        let cache = caches.remove(0);
        let more = cache.narrowed(spec(SMALL, ChannelMask::full(shape))).unwrap_err().to_string();
        assert!(more.contains("was dropped and is gone"), "{more}");
        let longer = cache
            .narrowed(spec(Window { sink: 8, ..SMALL }, third(&model)))
            .unwrap_err()
            .to_string();
        assert!(longer.contains("cannot become whole again"), "{longer}");
        let mut narrow = cache.narrowed(spec(smaller, sixth.clone())).unwrap();
        assert!(narrow.bytes().total() < cache.bytes().total());
        let mut buffers = StepBuffers::new(model.config(), 1);
        for token in [7, 40, 41, 42, 43] {
            model
                .decoder
                .step(&[token], &mut [&mut narrow], &mut buffers, &mut |_, _, _| ())
                .unwrap();
            logits.push(buffers.logits.clone());
        }
        logits
    });
    let apart = apart(&logits[0], &logits[1]);
    assert!(apart < 2e-3, "logits differ by {apart:e}");
}

/// The cache's own interface over a device: reading, cloning, retuning, rewinding, in a comparison
/// of two sides.
#[test]
fn cuda_sim_a_comparison_retunes_and_rewinds_on_the_device() {
    let run = |placement: Option<Placement>| {
        let model = random(64, 6, 2, placement);
        let shape = model.config().mask_shape();
        let dense = Arc::new(CacheSpec::dense(shape, SMALL, Dtype::F16).unwrap());
        let pruned = |window: Window, mask: ChannelMask| {
            Arc::new(CacheSpec::new(shape, window, Dtype::F16, mask).unwrap())
        };
        let setup = ComparisonSetup {
            prompts: prompts(&model, &[70]),
            dense,
            pruned: pruned(SMALL, third(&model)),
            sampling: Sampling::default(),
            mode: Mode::Forced,
            context: 512,
        };
        let hooks = PrefillHooks {
            chunk: 64,
            progress: &mut |_| Ok(()),
            keep_going: &|| Ok(()),
            observe: &mut |view| assert!(!view.k.is_empty()),
        };
        let mut both = Comparison::start(Arc::clone(&model), setup, hooks).unwrap();
        let mut logits = Vec::new();
        let step = |both: &mut Comparison, logits: &mut Vec<Vec<f32>>| {
            both.step(Sides::Both, &mut |_, _, _| ()).unwrap();
            logits.push(both.a.logits(0, 300).to_vec());
            logits.push(both.b.logits(0, 300).to_vec());
        };
        (0..4).for_each(|_| step(&mut both, &mut logits));
        both.retune(&pruned(
            Window { sink: 2, recent: 10, chunk: 3 },
            ChannelMask::from_fn(shape, |_, head, channel| head == 0 && channel < 20),
        ))
        .unwrap();
        (0..3).for_each(|_| step(&mut both, &mut logits));
        both.rewind(2).unwrap();
        (0..3).for_each(|_| step(&mut both, &mut logits));
        let copy = both.b.caches[0].copied().unwrap();
        let keys: Vec<_> = (0..copy.tokens())
            .map(|at| (copy.head(1, 0).key(at), copy.head(1, 1).value(at)))
            .collect();
        let mut activity = vec![0.0; 2 * 64];
        channel_activity(&copy, 1, &vec![0.5; 6 * 64], &mut activity);
        logits.push(activity);
        (logits, both.a.generated[0].clone(), keys, both.b.caches[0].tokens())
    };
    let (expected, generated, keys, lengths) = run(None);
    let (found, generated_there, keys_there, lengths_there) = run(Some(on_simulator()));
    assert!(argmax(&expected[0]) == argmax(&found[0]));
    assert_eq!((generated, lengths), (generated_there, lengths_there));
    assert!(apart(&expected, &found) < 2e-3);
    assert_eq!(keys.len(), keys_there.len());
    for ((key, value), (key_there, value_there)) in keys.iter().zip(&keys_there) {
        assert_eq!(value.is_some(), value_there.is_some());
        assert_eq!(std::mem::discriminant(key), std::mem::discriminant(key_there));
    }
}
