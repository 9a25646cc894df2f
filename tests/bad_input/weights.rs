//! Weights as safetensors files, and their index.

use std::path::Path;

use kscope_testing::models::change_numbers;
use serde_json::{Value, json};

use crate::configurations::{RUN, folder};
use crate::harness::{Case, Expected, damaged, hole, link, pipe};

const READER: &str = "safetensors";
const Q: &str = "model.layers.0.self_attn.q_proj.weight";

/// The model with its weights changed.
fn edited(name: impl Into<String>, edit: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Case {
    Case::new(READER, name, &RUN, move |at| {
        folder(at);
        let path = at.join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        edit(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    })
    .naming("model.safetensors")
}

/// The model with the header of its weights changed as text.
fn header(name: &str, edit: impl Fn(&str) -> String + Send + Sync + 'static) -> Case {
    edited(name, move |bytes| {
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = edit(std::str::from_utf8(&bytes[8..end]).unwrap());
        let mut out = (text.len() as u64).to_le_bytes().to_vec();
        out.extend(text.bytes());
        out.extend(&bytes[end..]);
        *bytes = out;
    })
}

/// The model with one tensor's entry in the header changed.
fn entry(name: &str, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Case {
    header(name, move |text| {
        let mut header: Value = serde_json::from_str(text).unwrap();
        edit(&mut header[Q]);
        header.to_string()
    })
}

pub fn cases(cases: &mut Vec<Case>) {
    for number in [0_u64, 1, 100_000_000, 1 << 40, u64::MAX] {
        cases.push(edited(format!("a header of {number} bytes"), move |bytes| {
            bytes[..8].copy_from_slice(&number.to_le_bytes());
        }));
    }
    for part in 0..8 {
        cases.push(edited(format!("cut after {part} eighths"), move |bytes| {
            bytes.truncate(bytes.len() / 8 * part);
        }));
    }
    cases.push(edited("more bytes than it says", |bytes| bytes.extend([0; 64])));
    cases.push(header("a header that is a list", |_| "[]".to_owned()));
    cases.push(header("a header without end", |text| text[..text.len() - 1].to_owned()));
    cases.push(header("a header 100,000 lists deep", |_| "[".repeat(100_000)));
    cases.push(header("a tensor twice", |text| {
        let header: Value = serde_json::from_str(text).unwrap();
        format!("{{\"{Q}\":{},{}", header[Q], &text[1..])
    }));
    cases.push(entry("an unknown type", |entry| entry["dtype"] = "Z32".into()));
    cases.push(entry("a type that is a number", |entry| entry["dtype"] = 5.into()));
    cases.push(entry("whole numbers", |entry| entry["dtype"] = "I32".into()));
    cases.push(entry("offsets that run backwards", |entry| entry["data_offsets"] = json!([64, 0])));
    cases.push(entry("negative offsets", |entry| entry["data_offsets"] = json!([-64, 0])));
    cases.push(entry("offsets beyond the end", |entry| {
        entry["data_offsets"] = json!([0, 1_u64 << 62]);
    }));
    cases.push(entry("the bytes of another", |entry| entry["data_offsets"] = json!([0, 9216])));
    cases.push(entry("a shape beyond any size", |entry| {
        entry["shape"] = json!([1_u64 << 40, 1_u64 << 40]);
    }));
    cases.push(entry("a shape of zeros", |entry| entry["shape"] = json!([0, 0])));
    cases.push(entry("a shape that is turned", |entry| entry["shape"] = json!([2304])));
    cases.push(entry("a shape of 1,000 axes", |entry| {
        entry["shape"] = vec![1; 1000].into();
        entry["shape"][0] = 2304.into();
    }));
    let other = header("another name", |text| text.replace(Q, "\\u001b[2J"));
    cases.push(other.naming(Q));
    for (name, number) in [("NaN", f32::NAN), ("infinity", f32::INFINITY)] {
        let case = Case::new(READER, name, &RUN, move |at| {
            folder(at);
            change_numbers(at, Q, [(7, number)]);
        });
        cases.push(case.naming(Q));
    }
    for (name, index) in [
        ("an empty index", "".to_owned()),
        ("an index that is a list", "[]".to_owned()),
        ("an index without a map", "{}".to_owned()),
        ("an index of numbers", json!({"weight_map": {Q: 5}}).to_string()),
        ("a map that is a text", json!({"weight_map": "x"}).to_string()),
        ("a part with NUL", json!({"weight_map": {Q: "x\u{0}y"}}).to_string()),
        (
            "a part with escapes",
            json!({"weight_map": {Q: "\u{1b}]0;pwn\u{7}.safetensors"}}).to_string(),
        ),
        ("a part outside the folder", json!({"weight_map": {Q: "../../etc/passwd"}}).to_string()),
        ("a part by its whole path", json!({"weight_map": {Q: "/etc/passwd"}}).to_string()),
        ("a part of 5,000 letters", json!({"weight_map": {Q: "x".repeat(5000)}}).to_string()),
    ] {
        cases.push(Case::new(READER, name, &RUN, move |at| {
            folder(at);
            std::fs::remove_file(at.join("model.safetensors")).unwrap();
            std::fs::write(at.join("model.safetensors.index.json"), &index).unwrap();
        }));
    }
    type Put = fn(&Path);
    let puts: [(&str, Put); 4] = [
        ("a pipe", |path| pipe(path)),
        ("zeros without end", |path| link(path, "/dev/zero")),
        ("a hole of 1 TiB", |path| hole(path, 1 << 40)),
        ("a link to itself", |path| link(path, "model.safetensors")),
    ];
    for (name, put) in puts {
        cases.push(Case::new(READER, name, &RUN, move |at| {
            folder(at);
            put(&at.join("model.safetensors"));
        }));
    }
    for seed in 0..8 {
        let case =
            edited(format!("damage {seed}"), move |bytes| *bytes = damaged(bytes, 1500, seed));
        cases.push(case.expecting(Expected::Either).naming(""));
    }
}
