//! Masks, plans and importance: kscope's own files, `.pth`, `.npy` and `.tsv`.

use std::io::{Cursor, Write};
use std::path::Path;

use kscope_testing::{root, vectors};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::harness::{Case, Expected, damaged, hole, link, pipe};

fn import(file: &'static str) -> [&'static str; 6] {
    ["mask", "import", file, "o.safetensors", "--kv-heads", "2"]
}

/// A file with these bytes, as a command reads it.
fn file(
    reader: &'static str,
    name: impl Into<String>,
    arguments: &[&str],
    file: &'static str,
    bytes: Vec<u8>,
) -> Case {
    Case::new(reader, name, arguments, move |at| std::fs::write(at.join(file), &bytes).unwrap())
        .naming(file)
}

/// The beginnings of a file, and damage by chance.
fn cut(
    cases: &mut Vec<Case>,
    reader: &'static str,
    arguments: &[&str],
    name: &'static str,
    seed: &Path,
) {
    let bytes = std::fs::read(seed).unwrap();
    for part in 0..8 {
        let start = bytes[..bytes.len() / 8 * part].to_vec();
        cases.push(file(reader, format!("cut after {part} eighths"), arguments, name, start));
    }
    for seed in 0..8 {
        let bytes = damaged(&bytes, bytes.len(), seed);
        let case = file(reader, format!("damage {seed}"), arguments, name, bytes);
        cases.push(case.expecting(Expected::Either));
    }
}

fn npy(cases: &mut Vec<Case>) {
    let arguments = import("m.npy");
    let array = |header: &str, data: usize| {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let shaped =
        |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let typed = |descr: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 2, 4), }}\n")
    };
    for (name, header, data) in [
        ("no header", "\n".to_owned(), 0),
        ("a header of code", "__import__('os').system('touch pwned')\n".to_owned(), 0),
        ("shape of zeros", shaped("(0, 0, 0)"), 0),
        ("shape below zero", shaped("(-2, 2, 4)"), 64),
        ("shape beyond any size", shaped("(4294967296, 4294967296, 4)"), 64),
        ("shape beyond its bytes", shaped("(2, 2, 5)"), 64),
        ("no axes", shaped("()"), 4),
        ("one axis", shaped("(16,)"), 64),
        ("four axes", shaped("(2, 2, 2, 2)"), 64),
        ("5,000 axes", shaped(&format!("({})", "1, ".repeat(5000))), 4),
        ("columns that do not divide", shaped("(2, 7)"), 56),
        ("two million columns", shaped("(1, 2000000)"), 8_000_000),
        ("two million rows", shaped("(2000000, 2)"), 16_000_000),
        ("objects", typed("|O"), 64),
        ("big-endian", typed(">f4"), 64),
        ("complex", typed("<c8"), 128),
        ("a type with escapes", typed("\u{1b}[2J"), 64),
        ("columns first", typed("<f4").replace("False", "True"), 64),
    ] {
        cases.push(file(".npy", name, &arguments, "m.npy", array(&header, data)));
    }
    let mut numbers = array(&shaped("(2, 2, 4)"), 0);
    numbers.extend([f32::NAN; 16].iter().flat_map(|number| number.to_le_bytes()));
    cases.push(file(".npy", "no numbers", &arguments, "m.npy", numbers));
    let mut longer = array(&shaped("(2, 2, 4)"), 64);
    longer[8] = 0xff;
    longer[9] = 0xff;
    cases.push(file(".npy", "a header beyond the end", &arguments, "m.npy", longer));
    cut(cases, ".npy", &arguments, "m.npy", &vectors().join("mask/alpha-f4.npy"));
}

fn pth(cases: &mut Vec<Case>) {
    let arguments = import("m.pth");
    let archive = |entries: &[(&str, &[u8])], method: CompressionMethod| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let stored = CompressionMethod::Stored;
    let pickles: [(&str, &[u8]); 8] = [
        ("a pickle that runs a command", b"\x80\x02cos\nsystem\nX\x0b\0\0\0touch pwned\x85R."),
        ("a pickle that imports", b"\x80\x02cbuiltins\nexec\nX\x01\0\0\0x\x85R."),
        ("a pickle without end", b"\x80\x02("),
        ("an empty pickle", b""),
        ("a pickle of a number", b"\x80\x02K\x05."),
        ("a text of 4 GiB", b"\x80\x02X\xff\xff\xff\xffabc."),
        ("a dictionary of tensors", b"\x80\x02}X\x01\0\0\0aK\x01s."),
        ("a memo that is not there", b"\x80\x02h\x07."),
    ];
    for (name, pickle) in pickles {
        let bytes = archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 64])], stored);
        cases.push(file(".pth", name, &arguments, "m.pth", bytes));
    }
    for (name, bytes) in [
        ("no archive", b"hello".to_vec()),
        ("a bare pickle", b"\x80\x02K\x05.".to_vec()),
        ("an archive of nothing", archive(&[], stored)),
        ("no pickle", archive(&[("m/x", b"x")], stored)),
        ("two pickles", archive(&[("m/data.pkl", b""), ("n/data.pkl", b"")], stored)),
        ("a path outside", archive(&[("../../data.pkl", b"\x80\x02K\x05.")], stored)),
        ("names with escapes", archive(&[("\u{1b}[2J/data.pkl", b"\x80\x02K\x05.")], stored)),
    ] {
        cases.push(file(".pth", name, &arguments, "m.pth", bytes));
    }
    let seed = vectors().join("mask/mask-f32.pth");
    let good = std::fs::read(&seed).unwrap();
    let end = good.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    for (name, at, value) in [
        ("more entries than fit", 10, &b"\xff\xff"[..]),
        ("one entry more", 8, &[good[end + 8] + 1, 0, good[end + 8] + 1, 0]),
        ("a directory beyond the end", 16, &[0xff, 0xff, 0xff, 0x7f]),
    ] {
        let mut bytes = good.clone();
        bytes[end + at..end + at + value.len()].copy_from_slice(value);
        cases.push(file(".pth", name, &arguments, "m.pth", bytes));
    }
    cut(cases, ".pth", &arguments, "m.pth", &seed);
}

fn tsv(cases: &mut Vec<Case>) {
    let arguments = import("m.tsv");
    for (name, text) in [
        ("empty", String::new()),
        ("blank lines", "\n\n\n".to_owned()),
        ("words", "a\tb\nc\td\n".to_owned()),
        ("no numbers", "nan\tnan\nnan\tnan\n".to_owned()),
        ("infinity", "inf\t1\n1\t1\n".to_owned()),
        ("1e999", "1e999\t1\n1\t1\n".to_owned()),
        ("rows of other lengths", "1\t2\n1\n".to_owned()),
        ("odd columns", "1\t2\t3\n".to_owned()),
        ("escapes", "\u{1b}[2J\t1\n".to_owned()),
        ("zeros", "0\t\u{0}\n".to_owned()),
        ("a word of 300 kB", format!("{}\t1\n", "x".repeat(300_000))),
        ("two million columns", "1\t".repeat(1_999_999) + "1\n"),
        ("two million rows", "1\t0\n".repeat(2_000_000)),
    ] {
        cases.push(file(".tsv", name, &arguments, "m.tsv", text.into_bytes()));
    }
    cases.push(file(".tsv", "no UTF-8", &arguments, "m.tsv", b"1\t\xff\n".to_vec()));
    let seed = vectors().join("mask/alpha.tsv");
    let bytes = std::fs::read(seed).unwrap();
    for seed in 0..8 {
        let case = file(
            ".tsv",
            format!("damage {seed}"),
            &arguments,
            "m.tsv",
            damaged(&bytes, bytes.len(), seed),
        );
        cases.push(case.expecting(Expected::Either));
    }
}

/// The header of kscope's own file, changed.
fn own(name: &str, arguments: &[&str], edit: impl Fn(&mut Value)) -> Case {
    let bytes = std::fs::read(root().join("masks/demo.safetensors")).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    edit(&mut header);
    let header = header.to_string();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.bytes());
    out.extend(&bytes[end..]);
    file("masks and plans", name, arguments, "m.safetensors", out)
}

fn masks(cases: &mut Vec<Case>) {
    let show = ["mask", "show", "m.safetensors"];
    let long = "x".repeat(300_000);
    for (key, value) in [
        ("format", "kscope"),
        ("format", "\u{1b}]0;pwn\u{7}"),
        ("format", &long),
        ("version", "3"),
        ("version", "x"),
        ("version", "2"),
        ("channel_order", "interleaved"),
        ("sink", "-1"),
        ("sink", "4294967296"),
        ("recent", "x"),
        ("chunk", "0"),
        ("chunk", ""),
        ("align", "3"),
        ("align", "0"),
        ("target_sparsity", "2"),
        ("target_sparsity", "NaN"),
        ("recipe", "{"),
        ("model_fingerprint", "xyz"),
    ] {
        let shown: String = value.chars().take(20).collect();
        cases.push(own(&format!("{key} {shown:?}"), &show, |header| {
            header["__metadata__"][key] = value.into();
        }));
    }
    for (name, tensor, key, value) in [
        ("a mask of f32", "mask", "dtype", "F32".into()),
        ("a mask of four axes", "mask", "shape", vec![5, 2, 64, 1].into()),
        ("a mask of no layers", "mask", "shape", vec![0, 2, 64].into()),
        ("a mask of another shape", "mask", "shape", vec![2, 5, 64].into()),
        ("a mask beyond any size", "mask", "shape", vec![1_u64 << 40, 1 << 40, 64].into()),
        ("a mask without bytes", "mask", "data_offsets", vec![0, 0].into()),
    ] {
        let value: Value = value;
        cases.push(own(name, &show, |header| header[tensor][key] = value.clone()));
    }
    for key in ["format", "version", "sink", "align", "recipe"] {
        cases.push(own(&format!("no {key}"), &show, |header| {
            header["__metadata__"].as_object_mut().unwrap().shift_remove(key);
        }));
    }
    cases.push(own("no metadata", &show, |header| {
        header.as_object_mut().unwrap().shift_remove("__metadata__");
    }));
    let use_it = ["run", "--prompt", "a", "--max-new", "1", "--mask", "m.safetensors"];
    cases.push(own("of a model with escapes", &use_it, |header| {
        header["__metadata__"]["model"] = "x\u{1b}]0;pwn\u{7}".into();
        header["__metadata__"]["model_fingerprint"] = "a".repeat(64).into();
    }));
    cases.push(
        own("a recipe with escapes", &show, |header| {
            header["__metadata__"]["recipe"] = "{\"x\": \"\\u001b]0;pwn\\u0007\"}".into();
        })
        .expecting(Expected::Accepted),
    );
    type Put = fn(&Path);
    let puts: [(&str, Put); 6] = [
        ("empty", |path| hole(path, 0)),
        ("a pipe", |path| pipe(path)),
        ("zeros without end", |path| link(path, "/dev/zero")),
        ("a hole of 1 TiB", |path| hole(path, 1 << 40)),
        ("a link to itself", |path| link(path, "m.safetensors")),
        ("a folder", |path| std::fs::create_dir(path).unwrap()),
    ];
    for (name, put) in puts {
        let case =
            Case::new("masks and plans", name, &show, move |at| put(&at.join("m.safetensors")));
        cases.push(case.naming("m.safetensors"));
    }
    // 64 million channels of one head: a file of 64 MB.
    cases.push(Case::new("masks and plans", "a head of 64 million channels", &show, |at| {
        let header = "{\"__metadata__\":{\"format\":\"kscope-mask\",\"version\":\"1\",\"model\":\"\",\"model_fingerprint\":\"\",\
            \"channel_order\":\"rotate-half\",\"sink\":\"1\",\"recent\":\"1\",\"chunk\":\"1\",\"align\":\"1\",\"target_sparsity\":\"\",\
            \"recipe\":\"null\"},\"mask\":{\"dtype\":\"U8\",\"shape\":[1,1,64000000],\"data_offsets\":[0,64000000]}}";
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        let file = std::fs::File::create(at.join("m.safetensors")).unwrap();
        (&file).write_all(&bytes).unwrap();
        file.set_len(bytes.len() as u64 + 64_000_000).unwrap();
    }));
    cut(cases, "masks and plans", &show, "m.safetensors", &root().join("masks/demo.safetensors"));
    // Only the order of importance counts, so numbers below zero are scores like others.
    let scores: String = "-3\t-1\t-2\t5\n".repeat(2);
    cases.push(
        file(".tsv", "importance below zero", &import("m.tsv"), "m.tsv", scores.into_bytes())
            .expecting(Expected::Accepted),
    );
}

pub fn cases(cases: &mut Vec<Case>) {
    npy(cases);
    pth(cases);
    tsv(cases);
    masks(cases);
}
