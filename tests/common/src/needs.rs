//! External things that a test needs. A test without them says so and is skipped; `KSCOPE_REQUIRE`
//! lists needs whose absence is a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use kscope::model::load::Source;

use crate::{nvcc, root};

/// The variable that lists required needs, such as `model,nvcc,tmux`, or `all`.
pub const VARIABLE: &str = "KSCOPE_REQUIRE";

/// Something that a test may need.
struct Need {
    name: &'static str,
    is_there: fn() -> bool,
    /// What is missing, and how to get it.
    missing: &'static str,
}

const NEEDS: [Need; 5] = [
    Need {
        name: "model",
        is_there: || smollm2().is_some(),
        missing: "SmolLM2-135M, which `kscope fetch smollm2-135m` gets",
    },
    Need {
        name: "nvcc",
        is_there: || nvcc::find(root()).is_some(),
        missing: "the CUDA compiler, which .ci/run installs into target/cuda-toolkit",
    },
    Need {
        name: "tmux",
        is_there: || Command::new("tmux").arg("-V").output().is_ok(),
        missing: "tmux, the terminal emulator of these tests",
    },
    Need {
        name: "cuda-build",
        is_there: is_cuda_program_there,
        missing: "the program with feature `cuda`, at target-cuda/release/kscope or where KSCOPE_CUDA_PROGRAM says",
    },
    Need {
        name: "published-masks",
        is_there: || published_mask().is_some(),
        missing: "llama3.1-8b-instruct.pth of the LeanK authors, in the folder that KSCOPE_PUBLISHED_MASKS names",
    },
];

/// Whether a need is available. If not, prints a message past the test harness, which hides the
/// output of passing tests; fails where `KSCOPE_REQUIRE` lists the need.
#[track_caller]
pub fn require(name: &str) -> bool {
    let listed = std::env::var(VARIABLE).unwrap_or_default();
    let required = is_required(&listed, name);
    let need = NEEDS.iter().find(|need| need.name == name).unwrap_or_else(|| unknown(name));
    let there = (need.is_there)();
    assert!(there || !required, "{VARIABLE} lists {name}, and there is none: {}", need.missing);
    if !there {
        skipped(&format!("there is no {name}: {}", need.missing));
    }
    there
}

/// Says that a part of the running test is skipped because of this machine's processor or GPU.
/// Nothing that could be installed would change that, so `KSCOPE_REQUIRE` has no word for it.
#[track_caller]
pub fn cannot_run_here(why: &str) {
    skipped(&format!("not on this machine: {why}"));
}

/// Prints on standard error that the running test, or a part of it, is skipped.
#[track_caller]
fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let place = std::panic::Location::caller();
    let line = format!("\n*** SKIPPED: {test} ({}:{}): {why} ***\n", place.file(), place.line());
    // A closed standard error is no reason to fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether a list of needs contains this one. Panics on a need in the list that no test has.
pub fn is_required(list: &str, name: &str) -> bool {
    let mut required = false;
    for listed in list.split(',').map(str::trim).filter(|listed| !listed.is_empty()) {
        if listed != "all" && !NEEDS.iter().any(|need| need.name == listed) {
            unknown(listed);
        }
        required |= listed == "all" || listed == name;
    }
    required
}

fn unknown(name: &str) -> ! {
    let known: Vec<&str> = NEEDS.iter().map(|need| need.name).collect();
    panic!("`{name}` is nothing that a test needs ({VARIABLE}): {} or all", known.join(", "))
}

/// The SmolLM2 file from `kscope fetch smollm2-135m`, if it is there.
pub fn smollm2() -> Option<PathBuf> {
    match Source::resolve("smollm2-135m") {
        Ok(Source::Gguf(path)) => Some(path),
        _ => None,
    }
}

/// Path of the program with feature `cuda`, whether or not it was built.
pub fn cuda_program() -> PathBuf {
    let set = std::env::var_os("KSCOPE_CUDA_PROGRAM").map(PathBuf::from);
    set.unwrap_or_else(|| root().join("target-cuda/release/kscope"))
}

/// Whether there is such a program, and it is no older than what it is built of: another would be
/// tested otherwise. One that `KSCOPE_CUDA_PROGRAM` names is taken as it is.
fn is_cuda_program_there() -> bool {
    let program = cuda_program();
    let changed = |path: &Path| path.metadata().and_then(|of| of.modified()).ok();
    let Some(built) = changed(&program) else { return false };
    if std::env::var_os("KSCOPE_CUDA_PROGRAM").is_some() {
        return true;
    }
    let sources = ["src", "kernels/cuda"].map(|folder| files_below(&root().join(folder)));
    let newer =
        sources.into_iter().flatten().find(|path| changed(path).is_some_and(|at| at > built));
    if let Some(newer) = &newer {
        eprintln!("{} is older than {}: cargo xtask cuda", program.display(), newer.display());
    }
    newer.is_none()
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|of| of.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The published Llama mask, which is not part of the repository: in the folder that
/// `KSCOPE_PUBLISHED_MASKS` names, if it is there.
pub fn published_mask() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("KSCOPE_PUBLISHED_MASKS")?);
    Some(folder.join("llama3.1-8b-instruct.pth")).filter(|path| path.is_file())
}
