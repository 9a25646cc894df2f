//! Limits on memory: refused with sizes before anything is taken.

use super::{refused, text, under};

#[test]
#[cfg(target_os = "linux")]
fn a_limit_on_address_space_is_told_with_sizes() {
    let home = tempfile::tempdir().unwrap();
    let random = ["run", "--random-weights", "llama-3.1-8b", "--layers", "1", "--threads", "1"];
    let args = [&random[..], &["--token-ids", "1,2,3", "--max-new", "1"]].concat();
    let ended = under(home.path(), "ulimit -v 900000", &args).output().unwrap();
    refused(&ended, 2, "the limit on address space (ulimit -v) has");
    assert!(
        text(&ended.stderr).contains("the model llama-3.1-8b of 1 layer (random weights) needs"),
        "{ended:?}"
    );
    // A model that fits, and a prompt that does not.
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 1, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 64, "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
    });
    std::fs::write(home.path().join("wide.json"), config.to_string()).unwrap();
    let ids = vec!["7"; 60_000].join(",");
    let wide = ["run", "--random-weights", "wide.json", "--threads", "1", "--max-new", "1"];
    let args = [&wide[..], &["--token-ids", &ids]].concat();
    let ended = under(home.path(), "ulimit -v 1200000", &args).output().unwrap();
    refused(&ended, 2, "the prefill of 60,000 tokens needs");
    assert!(text(&ended.stderr).contains("(ulimit -v) has"), "{}", text(&ended.stderr));
}
