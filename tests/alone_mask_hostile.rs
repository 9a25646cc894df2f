//! Malicious files: every reader refuses them with an error, never panics, and allocates no more
//! than the size of the file justifies. The same files are the start of the fuzz targets (fuzz/).
//!
//! One test in its own binary, because the allocator counts for the whole process.

use std::path::{Path, PathBuf};

use kscope::mask::files::{self, Contents, Format, MaskFile, Origin, SensitivityFile, Split};
use kscope::mask::{CachePlan, Coding, Sensitivity, Shape, Width, keep_counts, rules};
use peak_alloc::PeakAlloc;
use rand::{Rng, SeedableRng, rngs::StdRng};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Limit of allocated bytes per byte of the file. Text needs the most: a number of two characters
/// becomes an f32 in a vector that doubles as it grows. So does the directory of a zip file, whose
/// entries are large in memory.
const PER_BYTE: usize = 32;

/// Allocated bytes that any file may use: error messages, small buffers of the libraries.
const BASE: usize = 160 << 10;

/// Mutations of each file.
const ROUNDS: usize = 1000;

const SPLIT: Split = Split { kv_heads: Some(2), head_dim: None };

fn folder(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Reads the bytes with every reader; returns the result of the right one. Panics where one
/// allocates too much.
fn read(bytes: &[u8], name: &str) -> kscope::Result<Contents> {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = files::parse(bytes, name, &SPLIT);
    let _ = files::native::parse(bytes, name);
    let _ = files::pth::parse(bytes, name);
    let _ = files::npy::parse(bytes, name);
    let _ = files::tsv::parse(bytes, name);
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(
        used <= BASE + PER_BYTE * bytes.len(),
        "{name}: {used} bytes were allocated for a file of {}",
        bytes.len()
    );
    result
}

fn refused(bytes: &[u8], name: &str) {
    let error = read(bytes, name).expect_err(name);
    let sentence = error.to_string();
    assert_eq!(error.exit_code(), 2, "{sentence}");
    assert!(sentence.starts_with(name) && sentence.contains("expected"), "{sentence}");
    assert!(sentence.len() < 400 && !sentence.contains('\n'), "{sentence}");
}

/// One mutation, as a fuzzer would make.
fn mutated(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len().max(1));
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 if at + 8 <= bytes.len() => bytes[at..at + 8]
                .fill(*[0, 0xff, 0x7f].get(random.random_range(0..3)).unwrap_or(&0)),
            4 => drop(bytes.splice(
                at.min(bytes.len())..at.min(bytes.len()),
                std::iter::repeat_n(random.random(), 4),
            )),
            _ => {
                let end = (at + random.random_range(0..32)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
        }
    }
    bytes
}

#[test]
fn hostile_files_are_refused_within_their_own_size() {
    let kinds = ["pth", "npy", "tsv", "safetensors"];
    let mut seeds = Vec::new();
    for kind in kinds {
        let corpus = folder(&format!("corpus/mask/{kind}"));
        assert!(corpus.len() >= 12, "{kind}: {} files", corpus.len());
        for (path, bytes) in corpus {
            refused(&bytes, path.file_name().unwrap().to_str().unwrap());
            seeds.push(bytes);
        }
    }
    for (path, bytes) in folder("vectors/mask") {
        if path.extension().is_some_and(|extension| extension != "json") {
            read(&bytes, path.to_str().unwrap()).unwrap();
            seeds.push(bytes);
        }
    }
    let shape = Shape { layers: 3, kv_heads: 2, head_dim: 8 };
    let importance = rules::random(shape, 1);
    let mask = keep_counts(&importance, &[0, 8, 2, 4, 6, 1]);
    let file = MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: Some(importance),
        sensitivity: None,
        target_sparsity: Some(0.5),
        origin: Origin::upstream("x".into()),
    };
    for format in [Format::Safetensors, Format::Pth] {
        seeds.push(files::encode(&Contents::Mask(file.clone()), format, false).unwrap());
    }

    let plan = CachePlan::uniform(shape, Width::Four, Width::Eight, Coding::best(8)).unwrap();
    let table = |rows: usize| vec![0.5; rows * Sensitivity::WIDTHS.len()];
    let sensitivity =
        Sensitivity::new(shape, table(shape.entries()), table(shape.heads())).unwrap();
    let alone = SensitivityFile { sensitivity: sensitivity.clone(), origin: file.origin.clone() };
    let planned = MaskFile { plan, sensitivity: Some(sensitivity), ..file };
    for contents in [Contents::Mask(planned), Contents::Sensitivity(alone)] {
        seeds.push(files::encode(&contents, Format::Safetensors, false).unwrap());
    }

    let mut random = StdRng::seed_from_u64(3);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        for (index, seed) in seeds.iter().enumerate() {
            let bytes = mutated(seed, &mut random);
            accepted += usize::from(read(&bytes, &format!("seed {index}, round {round}")).is_ok());
        }
    }
    let mutations = ROUNDS * seeds.len();
    println!("{mutations} mutations, {accepted} of them still whole");
    assert!(
        accepted > 0 && accepted < mutations,
        "{accepted} of {mutations} mutated files are read: the damage is too small or too large"
    );
}
