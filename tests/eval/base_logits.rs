//! Files of base logits: what kscope writes it reads back, and loses nothing against.

use serde_json::Value;

use super::{eval, success};

#[test]
fn dense_decode_agrees_with_its_own_base_within_its_sixteen_bits() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.bin").display().to_string();
    let text = ["--suite", "text", "--text", "sentences", "--ctx", "128", "--chunks", "2"];
    let direct: Value = serde_json::from_str(&success(eval(
        &[&text[..], &["--json", "--save-base", &base]].concat(),
    )))
    .unwrap();
    let size = std::fs::metadata(&base).unwrap().len();
    let bytes = std::fs::read(&base).unwrap();
    assert_eq!(&bytes[..8], b"_logits_");
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as u64;
    let (ctx, vocab, chunks) = (number(8), number(12), number(16));
    assert_eq!((ctx, chunks), (128, 2));
    let row = vocab.div_ceil(2) * 2 + 4;
    assert_eq!(size, 20 + 4 * ctx * chunks + chunks * 63 * row * 2);
    // A file that is there is left alone, unless it may be replaced.
    let again = [&text[..], &["--save-base", &base]].concat();
    let output = eval(&again);
    let found = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && found.contains("--force replaces it"), "{found}");
    assert_eq!(std::fs::read(&base).unwrap(), bytes);
    success(eval(&[&again[..], &["--force"]].concat()));
    assert_eq!(std::fs::read(&base).unwrap(), bytes, "the same logits");

    let read: Value = serde_json::from_str(&success(eval(&[
        "--suite", "text", "--chunks", "2", "--json", "--base", &base,
    ])))
    .unwrap();
    let row = |found: &Value, mask: &str| {
        let rows = found["rows"].as_array().unwrap().iter();
        rows.clone().find(|row| row["mask"] == mask).unwrap().clone()
    };
    let dense = row(&read, "dense");
    assert_eq!(dense["n"], 2 * 63);
    assert!(dense["kl"]["kld"]["mean"].as_f64().unwrap().abs() < 1e-6, "{dense}");
    assert_eq!(dense["kl"]["same_top"]["mean"], 100.0);
    // A mask's divergence is the same from the file as from dense decode.
    let kld = |found: &Value| row(found, "k4v4")["kl"]["kld"]["mean"].as_f64().unwrap();
    assert!(
        (kld(&read) - kld(&direct)).abs() < 1e-4 * kld(&direct).max(0.01),
        "{} {}",
        kld(&read),
        kld(&direct)
    );
}
