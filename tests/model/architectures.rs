//! Architectures with blocks unlike Llama's, from GGUF files under llama.cpp's names: the same
//! weights as the folders of `tests/vectors/tiny`, so the same numbers. llama.cpp itself agrees with
//! them (`tests/reference/check_architecture_gguf.py`).

use candle_core::quantized::gguf_file::Value;
use kscope::cache::Sight;
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope::model::additions::Rotation;
use kscope::model::config::Config;
use kscope_testing::models::*;
use kscope_testing::vectors;

use crate::edits::{changed_gguf_at, refuses_model};
use crate::tiny::expected;

const FILES: [&str; 9] = [
    "olmo2",
    "granite",
    "smollm3",
    "phi3-partial",
    "phi3-longrope",
    "gemma2",
    "gemma3",
    "mixtral",
    "qwen3-moe",
];

fn path(name: &str) -> std::path::PathBuf {
    vectors().join("architectures").join(format!("{name}.gguf"))
}

#[test]
fn gguf_files_of_every_architecture_compute_what_transformers_computes() {
    for name in FILES {
        let model = load(&path(name), None);
        for window in [SMALL, Window { sink: 0, recent: 1, chunk: 1 }] {
            check_decode(name, &model, &dense(&model, window, Dtype::F32), &expected(name), 1e-4);
        }
    }
}

#[test]
fn a_gguf_file_reads_as_the_configuration_of_its_folder() {
    for name in FILES {
        let (file, folder) = (open(&path(name)), tiny_folder(name));
        let (found, meant) = (file.config, open(folder.path()).config);
        // What llama.cpp writes as f32, and the factor that it keeps apart from LongRoPE's divisors.
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
        assert!(close(found.rope_theta, meant.rope_theta), "{name}");
        let (own, theirs) = (&found.additions, &meant.additions);
        assert_eq!(own.kinds, theirs.kinds, "{name}");
        assert_eq!((own.rotated, own.local_theta), (theirs.rotated, theirs.local_theta), "{name}");
        assert_eq!((own.logit_cap, own.score_cap), (theirs.logit_cap, theirs.score_cap), "{name}");
        assert_eq!(own.experts, theirs.experts, "{name}");
        let factors = |config: &Config| {
            let own = &config.additions;
            [own.embedding_factor, own.residual_factor, own.logit_divisor, config.query_factor()]
        };
        for (a, b) in factors(&found).into_iter().zip(factors(&meant)) {
            assert!(close(f64::from(a), f64::from(b)), "{name}: {a} is not {b}");
        }
        assert_eq!(found.geometry(), meant.geometry(), "{name}");
        assert_eq!((found.max_context, found.tied), (meant.max_context, meant.tied), "{name}");
    }
}

#[test]
fn layers_with_windows_are_those_that_the_configuration_names() {
    let windows = |name: &str| open(tiny_folder(name).path()).config.additions.sight();
    let sight =
        |windows: &[Option<usize>], score_cap| Sight { windows: windows.to_vec(), score_cap };
    assert_eq!(windows("mistral-window"), sight(&[Some(72); 3], None));
    assert_eq!(windows("mistral"), Sight::default());
    assert_eq!(windows("ministral"), sight(&[Some(24), None, Some(24)], None));
    assert_eq!(windows("qwen2-window"), sight(&[None, Some(65), Some(65)], None));
    assert_eq!(windows("gemma2"), sight(&[Some(20), None, Some(20), None], Some(5.0)));
    let five = [Some(30), Some(30), Some(30), Some(30), Some(30), None];
    assert_eq!(windows("gemma3"), sight(&five, None));
}

/// transformers makes a Ministral of a Mistral with `layer_types`; those of an architecture that goes
/// by its window alone must say the same.
#[test]
fn kinds_of_layers_are_never_passed_over() {
    let changed = |base: &str, keys: serde_json::Value| {
        let folder = tiny_folder(base);
        let file = folder.path().join("config.json");
        let mut config = json(&file);
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        std::fs::write(file, config.to_string()).unwrap();
        folder
    };
    let mistral = changed("ministral", serde_json::json!({"model_type": "mistral"}));
    let [there, here] = [tiny_folder("ministral"), mistral].map(|folder| {
        let opened = open(folder.path());
        (opened.config.additions.sight(), opened.config.architecture)
    });
    assert_eq!(there, here);
    assert_eq!(here.0.windows, [Some(24), None, Some(24)]);

    let layers = open(tiny_folder("mixtral-window").path()).config.layers;
    let kinds = |kind: &str| serde_json::json!({"layer_types": vec![kind; layers]});
    open(changed("mixtral-window", kinds("sliding_attention")).path());
    refuses_model(
        changed("mixtral-window", kinds("full_attention")).path(),
        &["`layer_types` says otherwise of layer 0 than `sliding_window`"],
    );
    refuses_model(
        changed("mixtral", kinds("sliding_attention")).path(),
        &["`layer_types` has layers of sliding_attention, but no `sliding_window` is in use"],
    );
    // What transformers has another meaning for, or none.
    let flat =
        serde_json::json!({"rope_parameters": {"rope_type": "default", "rope_theta": 123.0}});
    refuses_model(
        changed("gemma3", flat).path(),
        &["`rope_parameters` has one rotation for all layers"],
    );
    refuses_model(
        changed("gemma3", serde_json::json!({"attn_logit_softcapping": 50.0})).path(),
        &["`attn_logit_softcapping` 50.0 changes what the model computes"],
    );
}

/// llama.cpp reads both keys.
#[test]
fn a_gguf_file_says_which_layers_of_gemma_have_a_window_and_how_those_rotate() {
    let changed = |name: &str, key: &str, value: Value| {
        changed_gguf_at(&path(name), |table| {
            table.insert(key.to_owned(), value);
        })
    };
    let additions = |folder: &tempfile::TempDir| {
        open(&folder.path().join("model.gguf")).config.additions.clone()
    };
    let usual = open(&path("gemma3")).config.additions.clone();
    let pattern = changed("gemma3", "gemma3.attention.sliding_window_pattern", Value::U32(3));
    let found = additions(&pattern);
    for (layer, (kind, usual)) in found.kinds.iter().zip(&usual.kinds).enumerate() {
        let has_window = (layer + 1) % 3 != 0;
        assert_eq!(kind.window, has_window.then_some(30), "layer {layer}");
        let rotation = if has_window { Rotation::Local } else { Rotation::Usual };
        assert_eq!(kind.rotation, rotation, "layer {layer}");
        assert_eq!(usual.window.is_some(), (layer + 1) % 6 != 0, "layer {layer}");
    }
    let base = changed("gemma3", "gemma3.rope.freq_base_swa", Value::F32(2000.0));
    let (mut found, at) = (additions(&base), usual.local_theta);
    assert_eq!((found.local_theta, at), (Some(2000.0), Some(10_000.0)));
    found.local_theta = at;
    assert_eq!(found, usual);
    for (name, key, value, word) in [
        ("gemma2", "gemma2.attention.sliding_window_pattern", 0, "at least 1"),
        ("granite", "granite.attention.sliding_window_pattern", 2, "not supported"),
    ] {
        let folder = changed(name, key, Value::U32(value));
        refuses_model(&folder.path().join("model.gguf"), &[key, word]);
    }
    let folder = changed("gemma2", "gemma2.rope.freq_base_swa", Value::F32(500.0));
    refuses_model(&folder.path().join("model.gguf"), &["gemma2.rope.freq_base_swa", "500"]);
}

#[test]
fn a_window_cache_stores_its_window_alone_and_a_device_ends_its_context_there() {
    let model = tiny("mistral-window");
    let prompt = expected("mistral-window").prompt;
    let spec = dense(&model, Window::default(), Dtype::F32);
    let cache = prefill(&model, &spec, &prompt, 512).0;
    let config = model.config();
    let token = 2 * config.kv_width() * 4 * config.layers;
    assert_eq!(cache.bytes().total(), 72 * token);
    assert_eq!(config.max_context, 512);
    let there = tiny_on_tensors("mistral-window");
    assert_eq!(there.config().max_context, 72);
    assert!(there.config().longest().contains("sliding_window"));
    let refused = open(tiny_folder("gemma2").path())
        .load_on(None, Some(on_cpu()), &mut |_| Ok(()))
        .expect_err("caps of scores are not known on a device")
        .to_string();
    assert!(refused.contains("caps attention scores"), "{refused}");
}
