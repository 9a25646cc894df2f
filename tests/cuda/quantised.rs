//! Quantised weights on a device: which stay in their blocks there, and what they take.

use candle_core::Device;
use kscope::cache::CacheSpec;
use kscope::element::Dtype;
use kscope::model::host::quant::QuantKind;
use kscope::model::load::gguf::Gguf;
use kscope::model::load::{Opened, Source};
use kscope::model::weights::Tensors;
use kscope_testing::models::{SMALL, on_cpu, open};
use kscope_testing::vectors;

use crate::decoder::{compare, loaded};

#[test]
fn quantised_weights_stay_quantised_and_give_close_logits() {
    let (mut tried, mut quantised) = (0, 0);
    for entry in std::fs::read_dir(vectors().join("gguf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let plain = loaded(open(&path), None, None);
        let tensors = loaded(open(&path), None, Some(on_cpu()));
        let spec = CacheSpec::dense(plain.config().mask_shape(), SMALL, Dtype::F32).unwrap();
        // The blocks on the device hold the host's numbers, with the rows of q in the same order.
        let mut file = Gguf::open(&path).unwrap();
        let (name, config) = ("model.layers.0.self_attn.q_proj.weight", plain.config());
        if let Some(blocks) =
            file.quantised(name, config.q_width(), config.hidden, &Device::Cpu).unwrap()
        {
            let there = blocks
                .dequantize(&Device::Cpu)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert_eq!(
                there,
                file.matrix(name, config.q_width(), config.hidden).unwrap().widened(),
                "{}",
                path.display()
            );
            quantised += 1;
        }
        // On the CPU, candle's products of quantised weights round activations to 8 bits.
        compare(
            &path.file_name().unwrap().to_string_lossy(),
            &plain,
            &tensors,
            spec,
            &[20],
            2,
            0.1,
        );
        tried += 1;
    }
    assert!(tried >= 5 && quantised >= 5, "{tried} files, {quantised} of them quantised");
}

/// Random weights stay in blocks as a file's do. Where candle has no product over the blocks they are
/// floats on the device, and counted as such.
#[test]
fn random_blocks_stay_blocks_where_a_device_multiplies_them() {
    let (hidden, inner, vocab, layers) = (256, 512, 300, 2);
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "vocab_size": vocab, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 2048, "tie_word_embeddings": true
    });
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let values = layers * hidden * (8 * 64 + hidden + 3 * inner);
    for (kind, stay) in [
        (QuantKind::Q4K, true),
        (QuantKind::Q6K, true),
        (QuantKind::Q8_0, true),
        (QuantKind::Iq4Nl, false),
        (QuantKind::Mxfp4, false),
    ] {
        let source = Source::random_of(path.to_str().unwrap(), None, 7, Some(kind)).unwrap();
        let plain = loaded(Opened::open(&source).unwrap(), None, None);
        let tensors = loaded(Opened::open(&source).unwrap(), None, Some(on_cpu()));
        let types = tensors.decoder.weight_types();
        assert_eq!(types.to_string().contains(kind.name()), stay, "{kind}: {types}");
        // candle's CPU device widens what is dense to f32; the head is the embedding's blocks.
        let blocks = |values: usize| values / kind.block_len() * kind.block_bytes();
        let (embedding, head) = (4 * vocab * hidden, blocks(vocab * hidden));
        let expected =
            if stay { blocks(values) + embedding + head } else { 4 * values + embedding };
        assert_eq!(types.bytes(), expected as u64, "{kind}");
        let read = if stay { blocks(values) + head } else { expected };
        assert_eq!(tensors.decoder.step_weight_bytes(), read as u64, "{kind}");
        let spec = CacheSpec::dense(plain.config().mask_shape(), SMALL, Dtype::F32).unwrap();
        // On the CPU, candle's products of quantised weights round activations to 8 bits.
        let allowed = if stay { 0.1 } else { 1e-2 };
        compare(&format!("random {kind}"), &plain, &tensors, spec, &[20], 2, allowed);
    }
}
