//! Mixtures of experts: what their files may say, quantised experts, and several sequences at once.
//! That folders and GGUF files compute what transformers computes is in `tiny.rs` and
//! `architectures.rs`.

use candle_core::quantized::gguf_file::Value;
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope::model::config::Config;
use kscope::model::load::hf_config;
use kscope::model::mixture::Mixture;
use kscope_testing::gguf::{GgufFile, GgufTensor};
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use serde_json::json;

use crate::edits::{quantised, refuses_model, written};
use crate::tiny::expected;

fn file(name: &str) -> GgufFile {
    GgufFile::open(&vectors().join("architectures").join(format!("{name}.gguf")))
}

/// The configuration of a tiny model with some keys changed, null for one that is removed.
fn changed(name: &str, changes: &[(&str, serde_json::Value)]) -> kscope::Result<Config> {
    let mut config = self::json(&vectors().join("tiny").join(name).join("config.json"));
    for (key, value) in changes {
        match value.is_null() {
            true => drop(config.as_object_mut().unwrap().remove(*key)),
            false => config[*key] = value.clone(),
        }
    }
    hf_config::parse(&config.to_string(), "config.json").map(|(config, _)| config)
}

fn mixture(name: &str, changes: &[(&str, serde_json::Value)]) -> Mixture {
    changed(name, changes).unwrap().additions.experts.unwrap()
}

#[test]
fn a_configuration_says_which_layers_have_which_experts() {
    let plain = mixture("qwen3-moe", &[]);
    let meant =
        Mixture { count: 6, chosen: 3, width: 24, normalised: true, dense_layers: Vec::new() };
    assert_eq!(plain, meant);
    let mixed = mixture("qwen3-moe-mixed", &[]);
    assert_eq!(
        mixed,
        Mixture { normalised: false, dense_layers: vec![0, 2, 3, 4], ..meant.clone() }
    );
    let mixtral = mixture("mixtral", &[]);
    assert_eq!((mixtral.count, mixtral.chosen, mixtral.width), (5, 2, 32));
    assert!(mixtral.normalised && mixtral.dense_layers.is_empty());

    // Either name of the number of experts, and what holds where keys are not given.
    let renamed = [("num_experts", json!(null)), ("num_local_experts", json!(6))];
    assert_eq!(mixture("qwen3-moe", &renamed), meant);
    let unsaid = [("norm_topk_prob", json!(null)), ("moe_intermediate_size", json!(null))];
    assert_eq!(mixture("qwen3-moe", &unsaid), Mixture { normalised: false, width: 768, ..meant });
    // Without a layer that has experts there are none.
    let none = changed("qwen3-moe", &[("mlp_only_layers", json!([0, 1]))]).unwrap();
    assert_eq!(none.additions.experts, None);

    for (name, changes, words) in [
        (
            "qwen3-moe",
            &[("num_experts_per_tok", json!(7))][..],
            "`num_experts_per_tok` must be 1 to 6",
        ),
        (
            "qwen3-moe",
            &[("num_local_experts", json!(8))],
            "`num_experts` is 6, and `num_local_experts` is 8",
        ),
        ("qwen3-moe", &[("decoder_sparse_step", json!(0))], "`decoder_sparse_step`"),
        ("qwen3-moe", &[("mlp_only_layers", json!([0.5]))], "`mlp_only_layers`"),
        ("qwen3-moe", &[("num_experts", json!(0))], "`num_experts`"),
        ("mixtral", &[("num_local_experts", json!("5"))], "`num_local_experts`"),
        ("qwen3", &[("num_experts", json!(4))], "`num_experts`"),
        ("llama", &[("model_type", json!("qwen2_moe"))], "kscope runs Mixtral and Qwen3-MoE"),
    ] {
        let error = changed(name, changes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn keys_of_a_gguf_file_that_would_change_the_routing_are_refused() {
    for (key, value, words) in [
        ("expert_used_count", Value::U32(0), "`llama.expert_used_count` is missing or 0"),
        ("expert_used_count", Value::U32(6), "more than `llama.expert_count` 5"),
        ("expert_gating_func", Value::U32(2), "`llama.expert_gating_func` 2 changes"),
        ("expert_weights_norm", Value::Bool(false), "`llama.expert_weights_norm` false changes"),
        ("expert_weights_scale", Value::F32(2.5), "`llama.expert_weights_scale` 2.5 changes"),
        ("expert_shared_count", Value::U32(1), "`llama.expert_shared_count` 1 changes"),
        ("expert_count", Value::U32(4), "has shape [5, 32, 32], expected [4, 32, 32]"),
        ("expert_count", Value::U32(0), "tensor `blk.0.ffn_gate.weight` is missing"),
    ] {
        let mut file = file("mixtral");
        file.set(&format!("llama.{key}"), value);
        let (_folder, path) = written(&file);
        refuses_model(&path, &[words]);
    }
    let mut neutral = file("mixtral");
    neutral.set("llama.expert_gating_func", Value::U32(1));
    neutral.set("llama.expert_weights_norm", Value::Bool(true));
    neutral.set("llama.expert_weights_scale", Value::F32(1.0));
    let (_folder, path) = written(&neutral);
    assert_eq!(open(&path).warnings, open(&vectors().join("architectures/mixtral.gguf")).warnings);
}

#[test]
fn a_file_with_each_expert_apart_is_named_and_so_is_a_bias_of_experts() {
    let mut apart = file("mixtral");
    let gate = "blk.1.ffn_gate_exps.weight";
    let whole = apart.tensor(gate).clone();
    apart.tensors.retain(|tensor| tensor.name != gate);
    let one = whole.bytes.len() / 5;
    apart.tensors.extend(whole.bytes.chunks(one).enumerate().map(|(expert, bytes)| GgufTensor {
        name: format!("blk.1.ffn_gate.{expert}.weight"),
        kind: whole.kind,
        shape: whole.shape[1..].to_vec(),
        bytes: bytes.to_vec(),
    }));
    let (_folder, path) = written(&apart);
    refuses_model(
        &path,
        &[
            "`blk.1.ffn_gate_exps.weight` is missing",
            "`blk.1.ffn_gate.0.weight`",
            "convert the model anew",
        ],
    );

    let mut bias = file("mixtral");
    let zeros = vec![0; 5 * 32 * 4];
    bias.tensors.push(GgufTensor {
        name: "blk.0.ffn_up_exps.bias".to_owned(),
        kind: 0,
        shape: vec![5, 32],
        bytes: zeros,
    });
    let (_folder, path) = written(&bias);
    refuses_model(&path, &["`blk.0.ffn_up_exps.bias` changes what the model computes"]);
}

#[test]
fn quantised_experts_stay_so_and_steps_are_near_those_over_their_values() {
    // As llama.cpp does it: the router stays as it is.
    let [quantised, wide] = quantised(&file("mixtral"), |name| !name.contains("ffn_gate_inp"));
    let experts = |file: &GgufFile| -> usize {
        let held = file.tensors.iter().filter(|tensor| tensor.name.contains("_exps"));
        held.map(|tensor| tensor.bytes.len()).sum()
    };
    let of_experts = experts(&quantised);
    assert_eq!(4 * 34 * experts(&wide) / (4 * 32), 4 * of_experts, "32 values in 34 bytes");
    let ((_a, quantised), (_b, wide)) = (written(&quantised), written(&wide));
    let promised = open(&quantised).weight_types(None).unwrap();
    let (kept, wide) = (load(&quantised, None), load(&wide, None));
    assert_eq!(kept.weight_types(), &promised, "what the headers promise is what is in memory");
    assert_eq!(kept.weight_types().to_string(), "q8_0 + f32");
    // A step reads two of five experts and not the embedding, whose last rows fill a tile of sixteen.
    let unread = of_experts * 3 / 5 + 112 * 34;
    assert_eq!(
        kept.decoder.step_weight_bytes() as usize + unread,
        kept.weight_types().bytes() as usize
    );

    let prompt = expected("mixtral").prompt;
    assert_eq!(
        prompt_logits(&kept, &prompt, 64),
        prompt_logits(&wide, &prompt, 64),
        "a prefill widens"
    );
    let steps = |model| {
        let mut cache = prefill(model, &dense(model, SMALL, Dtype::F32), &prompt, 512).0;
        step_logits(model, &mut cache, &expected("mixtral").greedy)
    };
    let error = rows_error(&steps(&kept), &steps(&wide));
    assert!(error > 0.0 && error < 2e-3, "{error:e}");
}

#[test]
fn sequences_of_a_batch_get_what_each_gets_alone() {
    for name in ["mixtral", "qwen3-moe-mixed"] {
        let model = tiny(name);
        let spec = dense(&model, Window::default(), Dtype::F32);
        let prompts: Vec<Vec<u32>> =
            (0..5).map(|at| expected(name).prompt[at * 7..40 + at * 20].to_vec()).collect();
        let together = run(&model, &spec, greedy(&model, prompts.clone(), 12)).unwrap();
        for (prompt, sequence) in prompts.into_iter().zip(together.sequences()) {
            let alone = run(&model, &spec, greedy(&model, vec![prompt], 12)).unwrap();
            assert_eq!(sequence.generated(), alone.sequences()[0].generated(), "{name}");
        }
    }
}

#[test]
fn the_pieces_of_a_prompt_do_not_change_what_experts_make_of_it() {
    let (model, prompt) = (tiny("qwen3-moe-mixed"), expected("qwen3-moe-mixed").prompt);
    let whole = prompt_logits(&model, &prompt, 512);
    let error = rows_error(&prompt_logits(&model, &prompt, 17), &whole);
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn a_device_refuses_experts_by_name() {
    let refused = open(tiny_folder("mixtral").path())
        .load_on(None, Some(on_cpu()), &mut |_| Ok(()))
        .expect_err("experts are not known on a device")
        .to_string();
    assert!(refused.contains("mixtral has experts") && refused.contains("CPU"), "{refused}");
}

#[test]
fn shapes_with_experts_can_be_shown_and_run_with_random_weights() {
    let show = |args: &[&str]| {
        let output = kscope().args(["model", "show"]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = show(&["--random-weights", "qwen3-30b-a3b"]);
    assert!(whole.contains("8 of 128 experts of 768"), "{whole}");
    let report: serde_json::Value =
        serde_json::from_str(&show(&["--random-weights", "mixtral-8x7b", "--json"])).unwrap();
    assert_eq!(report["parameters"], 46_702_792_704_u64);
    assert_eq!(report["active_parameters"], 12_748_853_248_u64);
    let folder = tiny_folder("qwen3-moe-mixed");
    let mixed = show(&["--model", folder.path().to_str().unwrap()]);
    assert!(mixed.contains("3 of 6 experts of 24 in 1 layers, MLP 56 in 4"), "{mixed}");
}
