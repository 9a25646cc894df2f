use std::path::Path;

use serde_json::json;

use super::*;
use crate::mask::{CachePlan, Geometry, Shape, Window, fingerprint, keep_counts, rules};

const SHAPE: Shape = Shape { layers: 3, kv_heads: 2, head_dim: 6 };

fn mask_file() -> MaskFile {
    let importance = rules::random(SHAPE, 9);
    let mask = keep_counts(&importance, &[0, 2, 4, 6, 0, 2]);
    let origin = Origin {
        model: "tiny \"model\"".into(),
        fingerprint: "ab".repeat(32),
        window: Window { sink: 4, recent: 8, chunk: 2 },
        align: 2,
        recipe: json!({"rule": "random", "seed": 9, "losses": [0.5, 0.25]}),
    };
    MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: Some(importance),
        sensitivity: None,
        target_sparsity: Some(0.7),
        origin,
    }
}

fn split() -> Split {
    Split { kv_heads: Some(2), head_dim: None }
}

#[test]
fn a_file_of_our_own_keeps_every_word_and_its_bytes_never_change() {
    let contents = Contents::Mask(mask_file());
    let bytes = encode(&contents, Format::Safetensors, false).unwrap();
    assert_eq!(parse(&bytes, "m", &Split::default()).unwrap(), contents);
    for _ in 0..8 {
        assert_eq!(
            encode(&contents, Format::Safetensors, false).unwrap(),
            bytes,
            "a hash table's order must not show"
        );
    }
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("mask").unwrap().data(), mask_file().mask().bytes());

    let MaskFile { importance, origin, .. } = mask_file();
    let contents = Contents::Importance(ImportanceFile { importance: importance.unwrap(), origin });
    let bytes = encode(&contents, Format::Safetensors, false).unwrap();
    assert_eq!(parse(&bytes, "i", &Split::default()).unwrap(), contents);
}

#[test]
fn raw_formats_return_the_mask_and_the_importance() {
    let file = mask_file();
    for format in [Format::Pth, Format::Npy, Format::Tsv] {
        let contents = Contents::Mask(file.clone());
        let mask = parse(&encode(&contents, format, false).unwrap(), "f", &split())
            .unwrap()
            .into_mask("f")
            .unwrap();
        assert_eq!((mask.plan, mask.importance), (file.plan.clone(), None), "{format:?}");
        assert_eq!((mask.origin.window, mask.origin.align), (Window::UPSTREAM, 32));
        let scores = parse(&encode(&contents, format, true).unwrap(), "f", &split()).unwrap();
        assert_eq!(scores.importance(), file.importance.as_ref(), "{format:?}");
        assert!(matches!(scores, Contents::Importance(_)));
    }
    let bare = Contents::Mask(MaskFile { importance: None, ..file });
    assert!(encode(&bare, Format::Npy, true).unwrap_err().to_string().contains("no importance"));
}

#[test]
fn metadata_that_would_be_misunderstood_is_refused() {
    let good = encode(&Contents::Mask(mask_file()), Format::Safetensors, false).unwrap();
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len(), "the header keeps its length");
        let at = good
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .expect("the word is there");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        native::parse(&bytes, "file.safetensors").unwrap_err().to_string()
    };
    let cases = [
        (
            "kscope-mask",
            "kscope-musk",
            "metadata \"format\": expected kscope-mask, kscope-importance or kscope-sensitivity",
        ),
        (
            "\"version\":\"1\"",
            "\"version\":\"3\"",
            "metadata \"version\": expected 1 or 2, found \"3\"",
        ),
        ("\"version\":\"1\"", "\"version\":\"2\"", "expected a tensor named k_bits, found none"),
        (
            "rotate-half",
            "interleaved",
            "metadata \"channel_order\": expected rotate-half, found \"interleaved\"",
        ),
        ("\"chunk\":\"2\"", "\"chunk\":\"0\"", "metadata \"chunk\": expected at least 1"),
        (
            "\"align\":\"2\"",
            "\"align\":\"3\"",
            "metadata \"align\": expected one of 1, 2, 4, 8, 16, 32",
        ),
        ("\"sink\":\"4\"", "\"sink\":\"x\"", "metadata \"sink\": expected a whole number"),
        (
            "\"target_sparsity\":\"0.7\"",
            "\"target_sparsity\":\"7.0\"",
            "expected a number from 0 to 1",
        ),
        ("\"model\":", "\"nodel\":", "expected metadata \"model\", found none"),
        ("\"mask\":{", "\"musk\":{", "expected a tensor named mask, found none"),
        ("[3,2,6]", "[3,6,2]", "expected importance of the mask's shape"),
        ("\"U8\"", "\"I8\"", "tensor mask: expected type U8, found I8"),
        (
            "abab",
            "xbab",
            "metadata \"model_fingerprint\": expected 64 hexadecimal digits or nothing",
        ),
    ];
    for (from, to, expected) in cases {
        let error = replaced(from, to);
        assert!(
            error.contains(expected) && error.starts_with("file.safetensors: "),
            "{from} -> {to}: {error}"
        );
    }
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() = 2;
    let error = native::parse(&bytes, "f").unwrap_err().to_string();
    assert!(error.contains("layer 2, KV head 1, channel 5: expected 0 or 1, found 2"), "{error}");
}

#[test]
fn a_recipe_says_by_what_a_file_was_made() {
    let made = |recipe| Origin { recipe, ..mask_file().origin }.made_by();
    assert_eq!(made(serde_json::json!({})), None);
    assert_eq!(made(serde_json::json!({ "rule": 7 })), None);
    let by = |recipe| made(recipe).unwrap();
    assert_eq!(by(serde_json::json!({ "rule": "sensitivity" })), "made by sensitivity");
    let old = by(serde_json::json!({ "rule": "learned", "settings": {} }));
    assert!(old.contains("an older recipe") && old.contains("kscope learn"), "{old}");
    let new = by(serde_json::json!({ "rule": "learned", "method": "leank" }));
    assert_eq!(new, "learned by the LeanK paper's method");
}

#[test]
fn flat_rows_need_to_know_how_they_divide() {
    let text = b"0.5\t1\t0\t0\n0\t0.25\t-0.5\t1e-3\n";
    let tsv = |split| parse(text, "a.tsv", &split).map(|contents| contents.shape());
    let by = |kv_heads, head_dim| Split { kv_heads, head_dim };
    let expected = Shape { layers: 2, kv_heads: 2, head_dim: 2 };
    assert_eq!(tsv(by(Some(2), None)).unwrap(), expected);
    assert_eq!(tsv(by(None, Some(2))).unwrap(), expected);
    assert!(
        tsv(by(None, None)).unwrap_err().to_string().contains("expected --kv-heads or --head-dim")
    );
    for wrong in [
        by(Some(3), None),
        by(Some(0), None),
        by(None, Some(0)),
        by(Some(1), Some(2)),
        by(Some(usize::MAX), Some(2)),
    ] {
        assert_eq!(tsv(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
    let npy = encode(&Contents::Mask(mask_file()), Format::Npy, false).unwrap();
    let error = parse(&npy, "m.npy", &by(Some(3), None)).unwrap_err().to_string();
    assert_eq!(error, "m.npy: expected 3 KV heads, found 2");
}

/// A document was once refused for its first row and column, as if it were a table.
#[test]
fn a_file_of_another_kind_is_said_to_be_no_mask() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, &Split::default()).unwrap_err().to_string()
    };
    for (name, bytes) in [
        ("README.md", &b"# kscope\n\ntext"[..]),
        ("a.png", b"\x89PNG\r\n"),
        ("a", b""),
        ("b", b"\n"),
    ] {
        let said = refusal(name, bytes);
        assert!(
            said.contains(&format!("{name} is no mask or plan: expected a .safeten")),
            "{said}"
        );
        assert!(!said.contains("row 1"), "{said}");
    }
    // Rows of numbers are meant as such, whatever their file is called.
    assert!(refusal("a.txt", b"1\t2\n3\tx\n").contains("row 2, column 2"));
    assert!(refusal("a.tsv", b"word\n").contains("row 1, column 1"));
}

#[test]
fn text_errors_name_row_and_column() {
    let error = |text: &[u8]| tsv::parse(text, "a.tsv").unwrap_err().to_string();
    assert_eq!(
        error(b"1\t2\n3\tx\n"),
        "a.tsv: row 2, column 2: expected a finite number, found \"x\""
    );
    assert_eq!(
        error(b"1\t2\n3\n"),
        "a.tsv: row 2: expected 2 columns as in the rows before, found 1"
    );
    assert_eq!(
        error(b"1\tinf\n"),
        "a.tsv: row 1, column 2: expected a finite number, found \"inf\""
    );
    assert_eq!(error(b"\n\n"), "a.tsv: expected one row of numbers per layer, found no rows");
    assert_eq!(
        error(b"1\t\xff\n"),
        "a.tsv: expected text with tabs, found bytes that are not UTF-8 at offset 2"
    );
    let windows = tsv::parse(b"1\t2\r\n3\t4\r\n", "w").unwrap();
    assert_eq!((windows.axes, windows.values), (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
}

#[test]
fn a_mask_binds_by_fingerprint_or_fits_by_shape_with_a_warning() {
    let geometry = Geometry {
        architecture: "llama".into(),
        layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        hidden: 24,
        rope_theta: 1e4,
    };
    let model = fingerprint(&geometry);
    let mut file = mask_file();
    let refusal = check(&file, "m", geometry.shape(), &model).unwrap_err().to_string();
    assert!(refusal.contains("found one for tiny \"model\" (abababababab)"), "{refusal}");

    file.origin.fingerprint = model.clone();
    assert_eq!(
        check(&file, "m", geometry.shape(), &model).unwrap(),
        Binding { bound: true, warnings: Vec::new() }
    );

    file.origin.fingerprint.clear();
    file.origin.align = 8;
    let binding = check(&file, "m", geometry.shape(), &model).unwrap();
    assert!(!binding.bound);
    assert!(binding.warnings[0].contains("accepted because its shape fits"), "{binding:?}");
    assert!(binding.warnings[1].contains("layer 0, KV head 1 keeps 2 channels"), "{binding:?}");

    let other = Shape { layers: 4, ..geometry.shape() };
    let error = check(&file, "m", other, &model).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("m: expected a mask of shape {other}, found {SHAPE}, made for tiny \"model\"")
    );
}

#[test]
fn a_failed_save_leaves_the_old_file_and_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let contents = Contents::Mask(mask_file());
    save(&path, &contents, false).unwrap();
    let old = std::fs::read(&path).unwrap();

    // A folder at the target path makes the last step, the rename, fail.
    let blocked = folder.path().join("blocked.npy");
    std::fs::create_dir(&blocked).unwrap();
    assert!(save(&blocked, &contents, false).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the temporary file is gone");

    assert_eq!(save(&folder.path().join("m.csv"), &contents, false).unwrap_err().exit_code(), 2);
    assert_eq!(
        save(&folder.path().join("none/m.npy"), &contents, false).unwrap_err().exit_code(),
        2
    );
    assert_eq!(read(&path, &Split::default()).unwrap(), contents);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain), "as readable as any new file");
    }
}

#[test]
fn what_is_too_large_or_no_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("checkpoint.pth");
    std::fs::File::create(&large).unwrap().set_len((256 << 20) + 1).unwrap();
    let sentence = |path: &Path| {
        let error = read(path, &Split::default()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    assert!(sentence(&large).contains("found 268,435,457 bytes"), "{}", sentence(&large));
    assert!(sentence(folder.path()).contains("expected a file"));
    let torn = folder.path().join("torn.safetensors");
    std::fs::write(&torn, b"\x08\0").unwrap();
    assert!(sentence(&torn).contains("expected a safetensors file"), "{}", sentence(&torn));
    assert!(sentence(&folder.path().join("none")).contains("reading"));
    #[cfg(unix)]
    assert!(sentence(Path::new("/dev/zero")).contains("expected a file"));
}
