//! The memory of an update does not grow with the layers, except for the activations of its answer
//! rows. In its own process, because other tests allocate too.

use kscope::learn::engine::{self, DistillLoss, Factors, Sample};
use kscope::mask::Window;
use kscope::model::Model;
use kscope::model::load::{Opened, Source};
use kscope_testing::models::on_cpu;
use peak_alloc::PeakAlloc;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

const ROWS: usize = 12;

/// Random weights, f16 on the host, with the shape of a config written here.
fn random(layers: usize, on_tensors: bool) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": layers, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 32, "vocab_size": 300, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 4096, "tie_word_embeddings": true
    });
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let source = Source::random(path.to_str().unwrap(), None, 7).unwrap();
    Opened::open(&source).unwrap().load_on(None, on_tensors.then(on_cpu), &mut |_| Ok(())).unwrap()
}

/// Most bytes that one update has allocated at any time, above what was allocated before it.
fn update(layers: usize, on_tensors: bool) -> usize {
    let model = random(layers, on_tensors);
    let shape = model.config().mask_shape();
    let tokens = |from: u32, n: usize| (from..).take(n).map(|i| i * 37 % 299).collect::<Vec<u32>>();
    let sample =
        Sample::new(&model.decoder, &tokens(0, 1000), &[(tokens(5, 4), tokens(9, ROWS))]).unwrap();
    let factors = Factors::soft(shape, vec![0.5; shape.entries()]).unwrap();
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    engine::distill(&model.decoder, Window::default(), &factors, &sample, DistillLoss::States)
        .unwrap();
    PEAK.peak_usage() - before
}

#[test]
fn an_update_keeps_the_activations_of_its_rows_and_nothing_else_of_a_layer() {
    for on_tensors in [false, true] {
        let (few, many) = (update(2, on_tensors), update(10, on_tensors));
        // Two residual streams, q and the attention output, k and v, gate and up.
        let kept = ROWS * 4 * (2 * 256 + 2 * 256 + 2 * 128 + 2 * 1024);
        println!(
            "tensors {on_tensors}: {few} bytes with 2 layers, {many} with 10, a layer's activations {kept}"
        );
        // A layer's keys and values in f16 alone are .5 MB, its widened weights 4 MB.
        assert!(
            many < few + 8 * kept * 3 / 2,
            "{few} bytes with 2 layers, {many} with 10, a layer's activations {kept}"
        );
    }
}
