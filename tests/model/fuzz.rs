//! Random and damaged files: opening and loading any of them gives a model or an error, never a
//! panic.

use std::path::Path;

use kscope::Error;
use kscope::model::load::{Opened, Source};
use kscope_testing::models::*;
use kscope_testing::vectors;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Opens and loads; an error must be about bad input and be one sentence.
fn outcome(source: &Source) -> bool {
    match Opened::open(source).and_then(|opened| opened.load(None, &mut |_| Ok(()))) {
        Ok(_) => true,
        Err(Error::Input(sentence)) => {
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}");
            false
        }
        Err(other) => panic!("{other:?} is no wrong input"),
    }
}

/// Changes some bytes of `bytes[..within]`, or cuts, doubles or drops a part of it.
fn damage(bytes: &mut Vec<u8>, within: usize, rng: &mut StdRng) {
    let within = within.min(bytes.len());
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..within);
        match rng.random_range(0..12) {
            0..=4 => bytes[at] = rng.random(),
            5..=7 => bytes[at] ^= 1 << rng.random_range(0..8),
            8 => {
                // Eight bytes where a count may be stored.
                let value: u64 = rng.random::<u64>() >> rng.random_range(0..64);
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            9 => drop(bytes.drain(at..(at + rng.random_range(1..16)).min(bytes.len()))),
            10 => {
                let part = bytes[at..(at + 12).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.len() < within {
            return;
        }
    }
}

fn random_bytes(rng: &mut StdRng, start: &[u8]) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.extend(
        (0..rng.random_range(0..400))
            .map(|_| if rng.random_bool(0.5) { 0 } else { rng.random::<u8>() }),
    );
    bytes
}

#[test]
fn random_bytes_as_gguf_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for seed in 0..2000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let start: &[u8] = if seed % 4 == 0 { b"" } else { b"GGUF\x03\0\0\0" };
        std::fs::write(&path, random_bytes(&mut rng, start)).unwrap();
        assert!(!outcome(&Source::Gguf(path.clone())), "seed {seed} makes a model");
    }
}

#[test]
fn damaged_gguf_headers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut loaded = 0;
    for name in ["llama-q4_0", "llama-spm", "qwen2-yarn", "llama-rope-freqs"] {
        let whole = std::fs::read(vectors().join(format!("gguf/{name}.gguf"))).unwrap();
        for seed in 0..400 {
            let mut bytes = whole.clone();
            // Half of the damage goes to the first keys, the rest anywhere in the metadata.
            damage(
                &mut bytes,
                if seed % 2 == 0 { 1200 } else { 20_000 },
                &mut StdRng::seed_from_u64(seed),
            );
            std::fs::write(&path, bytes).unwrap();
            loaded += usize::from(outcome(&Source::Gguf(path.clone())));
        }
    }
    assert!(
        loaded > 100 && loaded < 1500,
        "{loaded} of 1600 damaged files load: the damage is too small or too large"
    );
}

/// Damages one file of a model folder again and again.
fn damaged_folder(file: &str, within: impl Fn(&[u8]) -> usize, rounds: u64) {
    let folder = tiny_folder("llama3");
    let path = folder.path().join(file);
    let whole = std::fs::read(&path).unwrap();
    let mut loaded = 0;
    for seed in 0..rounds {
        let mut bytes = whole.clone();
        damage(&mut bytes, within(&whole), &mut StdRng::seed_from_u64(seed));
        std::fs::write(&path, bytes).unwrap();
        loaded += u64::from(outcome(&Source::Folder(folder.path().to_owned())));
    }
    assert!(
        loaded > 0 && loaded < rounds,
        "{loaded} of {rounds} folders with a damaged {file} load"
    );
}

#[test]
fn damaged_configurations() {
    damaged_folder("config.json", <[u8]>::len, 1500);
}

#[test]
fn damaged_safetensors_headers() {
    damaged_folder(
        "model.safetensors",
        |whole| 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize,
        1500,
    );
}

#[test]
fn damaged_tokenizers() {
    damaged_folder("tokenizer.json", <[u8]>::len, 600);
}

#[test]
fn random_bytes_as_safetensors_configuration_and_tokenizer() {
    for file in ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"] {
        let folder = tiny_folder("llama");
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let start: &[u8] = if seed % 2 == 0 { b"" } else { b"{\"" };
            std::fs::write(folder.path().join(file), random_bytes(&mut rng, start)).unwrap();
            assert!(
                !outcome(&Source::Folder(Path::new(folder.path()).to_owned())),
                "{file} of seed {seed} makes a model"
            );
        }
    }
}
