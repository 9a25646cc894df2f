//! Whole models over caches with codes, on the simulated GPU.

use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, Window};
use kscope::model::decoder::with_quiet_hooks;
use kscope_testing::models::{changed_number, open};

use crate::decoder::{compare, loaded, on_simulator, prompts, random, third};

#[test]
fn cuda_sim_whole_models_decode_over_codes() {
    let window = Window { sink: 4, recent: 12, chunk: 16 };
    for (head_dim, heads, kv_heads, dtype) in
        [(64, 6, 2, Dtype::F16), (80, 4, 2, Dtype::Bf16), (128, 9, 1, Dtype::F16)]
    {
        let plain = random(head_dim, heads, kv_heads, None);
        let tensors = random(head_dim, heads, kv_heads, Some(on_simulator()));
        let shape = plain.config().mask_shape();
        for (name, allowed) in [("k8v8", 1e-2), ("k8v4", 5e-2), ("k4v8", 5e-2), ("k4v4", 8e-2)] {
            let named = CachePlan::named(name, shape).unwrap();
            for plan in [named.within(&third(&plain)).unwrap(), named] {
                let spec = CacheSpec::planned(window, dtype, plan).unwrap();
                let name = format!("{dtype} d {head_dim}, {heads} on {kv_heads} heads, {name}");
                compare(&name, &plain, &tensors, spec, &[60, 9], 25, allowed);
            }
        }
    }
}

#[test]
fn cuda_sim_numbers_that_codes_cannot_hold_are_refused() {
    let tensor = "model.layers.0.self_attn.k_proj.weight";
    let folder = changed_number("llama-hd256", tensor, 5 * 32 + 3, 1e6);
    let window = Window { sink: 4, recent: 12, chunk: 16 };
    let mut refusals = Vec::new();
    for placement in [None, Some(on_simulator())] {
        let model = loaded(open(folder.path()), Some(Dtype::F32), placement);
        let shape = model.config().mask_shape();
        let plan = CachePlan::named("k8v8", shape).unwrap();
        let coded = Arc::new(CacheSpec::planned(window, Dtype::Bf16, plan).unwrap());
        let dense = Arc::new(CacheSpec::dense(shape, window, Dtype::Bf16).unwrap());
        let prompt = prompts(&model, &[50]).remove(0);
        let fill = |spec: &Arc<CacheSpec>| {
            let mut cache = SequenceCache::new(Arc::clone(spec));
            with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks))
                .map(|_| cache)
        };
        refusals.push(fill(&coded).expect_err("codes cannot hold that").to_string());
        let dense = fill(&dense).expect("bf16 holds that");
        let error = dense.retuned(coded).expect_err("codes cannot hold that").to_string();
        assert!(error.contains("codes") && error.contains("16 bits"), "{error}");
    }
    let [here, there] = &refusals[..] else { panic!("two") };
    assert!(here.contains("layer 0") && here.contains("codes of 8 bits hold at most"), "{here}");
    assert_eq!(here.split(" is ").next(), there.split(" is ").next(), "{here}\n{there}");
}
