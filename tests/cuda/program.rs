//! The program that is built with feature `cuda` (docs/GPU.md), over the CUDA driver that runs on a
//! CPU. Where it is not built, the tests say so and are skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use kscope::attention::cuda::Kernel;
use kscope::attention::cuda::params::SequenceState;
use kscope::mask::files::{self, Split};
use kscope_testing::needs::{cannot_run_here, cuda_program};
use kscope_testing::{nvcc, require, root};

use crate::driver::driver;

/// The program with feature `cuda`; `None` where it is not built.
#[track_caller]
fn program() -> Option<PathBuf> {
    require("cuda-build").then(cuda_program)
}

/// How the driver does the work of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    AtOnce,
    /// Only when something waits for it.
    Lazily,
}

/// A command of the program over the driver.
fn over_the_driver(program: &Path, doing: Doing, log: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("LD_LIBRARY_PATH", driver()).env("KSCOPE_DRIVER_LOG", log);
    if doing == Doing::Lazily {
        command.env("KSCOPE_DRIVER_LAZY", "1");
    }
    command
}

/// Decodes `tokens` tokens after 515, with `batch` equal sequences. Of 60, a slab begins half way
/// through. No step's likeliest two are so near that a prompt's attention in f16 swaps them.
fn decode(
    program: &Path,
    (device, doing): (&str, Doing),
    (batch, tokens): (usize, usize),
    log: &Path,
) -> serde_json::Value {
    let prompt = "One of the keys is 17. The other key is 90. ".repeat(27);
    let settings = "--mask masks/demo.safetensors --sink 4 --recent 16 --chunk 8 --json --raw";
    let output = over_the_driver(program, doing, log)
        .args(["run", "--device", device, "--prompt", &prompt])
        .args(["--batch", &batch.to_string(), "--max-new", &tokens.to_string()])
        .args(settings.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "--device {device}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn same_tokens_and_numbers(here: &serde_json::Value, there: &serde_json::Value) {
    assert!(there["device"].as_str().unwrap().contains("stands for a GPU"), "{}", there["device"]);
    assert_eq!(here["tokens"], there["tokens"], "the same tokens");
    let numbers = |run: &serde_json::Value| -> Vec<f64> {
        run["logprobs"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    for (here, there) in numbers(here).into_iter().zip(numbers(there)) {
        assert!((here - there).abs() < 2e-2, "log-probabilities {here} and {there}");
    }
}

#[test]
fn a_whole_decode_takes_one_graph_per_token_and_no_memory() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (batch, doing) in [(1, Doing::AtOnce), (1, Doing::Lazily), (2, Doing::Lazily)] {
        one_graph_per_token(&program, (batch, doing), &folder.path().join("calls"));
    }
}

/// The memory that small writes go through is used again only after the copies from it: a copy may
/// be far behind. Twenty sequences make more writes than there are such places.
#[test]
fn many_writes_that_are_copied_late_arrive_whole() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let here = decode(&program, ("cpu", Doing::AtOnce), (20, 4), &log);
    let there = decode(&program, ("cuda", Doing::Lazily), (20, 4), &log);
    same_tokens_and_numbers(&here, &there);
    let calls = std::fs::read_to_string(log).unwrap();
    assert!(calls.lines().filter(|call| *call == "wait event").count() > 100, "writes that wait");
}

fn one_graph_per_token(program: &Path, (batch, doing): (usize, Doing), log: &Path) {
    let here = decode(program, ("cpu", doing), (batch, 60), log);
    let there = decode(program, ("cuda", doing), (batch, 60), log);
    same_tokens_and_numbers(&here, &there);

    let calls = std::fs::read_to_string(log).unwrap();
    // Events and waiting move nothing.
    let calls: Vec<&str> =
        calls.lines().filter(|call| *call != "event" && !call.starts_with("wait")).collect();
    assert!(!calls.iter().any(|call| call.starts_with("error")), "the driver refused something");
    assert!(
        calls.iter().any(|call| call.starts_with("launch prefill_"))
            && !calls.iter().any(|call| call.starts_with("product tf32")),
        "attention of the prompt takes the kernel"
    );
    let graphs: Vec<usize> = (0..calls.len()).filter(|&at| calls[at] == "graph").collect();
    let tokens = there["tokens"].as_array().unwrap().len();
    let mut kinds: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for pair in graphs.windows(2) {
        *kinds.entry(calls[pair[0]..pair[1]].to_vec()).or_default() += 1;
    }
    // The calls of one token: the graph, logits and states out, then states, and rotation with ids,
    // of the next token in. Nobody asks for queries.
    let (usual, count) = kinds.iter().max_by_key(|(_, count)| **count).unwrap();
    let names: Vec<&str> =
        usual.iter().map(|call| call.rsplit_once(' ').map_or(*call, |(name, _)| name)).collect();
    assert_eq!(names, ["graph", "copy out", "copy out", "copy in", "copy in"], "calls per token");
    let bytes = |way: &str| -> Vec<usize> {
        usual.iter().filter_map(|call| call.strip_prefix(way)?.trim().parse().ok()).collect()
    };
    let (out, into) = (bytes("copy out"), bytes("copy in"));
    assert_eq!(out[1], batch * size_of::<SequenceState>(), "after the logits, the states");
    assert!(into.iter().sum::<usize>() <= batch << 10, "{into:?} bytes in");
    let captures = calls.iter().filter(|call| **call == "capture").count();
    let nodes = calls.iter().find_map(|call| call.strip_prefix("captured ")).unwrap();
    // What a captured step consists of.
    let start = calls.iter().position(|call| *call == "capture").unwrap() + 1;
    let end = calls.iter().position(|call| call.starts_with("captured ")).unwrap();
    let captured = &calls[start..end];
    let of_kind = |start: &str| captured.iter().filter(|call| call.starts_with(start)).count();
    let layers = of_kind("launch append_");
    assert!(layers > 1 && of_kind("launch decode_") == layers, "{captured:?}");
    assert_eq!((of_kind("node"), of_kind("fill"), of_kind("copy")), (0, 0, 0), "memory in a graph");
    assert_eq!(of_kind("product own"), 4 * layers + 1);
    assert_eq!(captured.len(), 10 * layers + 2, "{captured:?}");
    println!(
        "{batch} sequences {doing:?}: {tokens} tokens, {} graphs launched, {captures} captured of {nodes}; per token {out:?} bytes out, {into:?} in",
        graphs.len()
    );
    // The first step goes launch by launch, the second is captured; the second slab needs no other
    // graph.
    assert!(
        captures == 1 && *count + 6 >= tokens,
        "{count} of {tokens} tokens are one graph; {captures} captures"
    );
}

#[test]
fn attention_kernels_get_the_shared_memory_of_their_blocks() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let output = over_the_driver(&program, Doing::Lazily, &log)
        .args(["selftest", "--device", "cuda", "--filter", "f16 d 128 group 4 x"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("passed, 0 failed"), "{text}");
    let calls = std::fs::read_to_string(log).unwrap();
    let is_attention = |kernel: &Kernel| matches!(kernel, Kernel::Decode(_) | Kernel::Prefill(_));
    for kernel in Kernel::all().filter(is_attention) {
        // The preferred share of shared memory, in percent.
        let carveout = format!("attribute {} 9 100", kernel.name());
        assert!(calls.lines().any(|call| call == carveout), "{carveout}");
    }
}

#[test]
fn the_self_test_passes_on_a_driver_that_does_everything_late() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let self_test = |filter: &str| {
        let output = over_the_driver(&program, Doing::Lazily, &log)
            .args(["selftest", "--device", "cuda", "--fail-fast", "--filter", filter])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    for (filter, cases) in [("the demo model", 2), ("Remask", 4), ("Retune", 8)] {
        let (code, text) = self_test(filter);
        assert!(
            code == Some(0) && text.contains(&format!("{cases} passed, 0 failed")),
            "{filter}: {text}"
        );
    }
    let (code, text) = self_test("no such case");
    assert!(code == Some(2) && text.contains("--filter no such case"), "{text}");
}

/// Steps that cannot be captured are made all the same, and everything that reports them says so.
#[test]
fn steps_that_are_not_captured_are_no_secret() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let over = |settings: &str| {
        let output = over_the_driver(&program, Doing::AtOnce, &log)
            .args(settings.split(' '))
            .env("KSCOPE_DRIVER_NO_CAPTURE", "1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let said = "kscope: decode steps go to the GPU launch by launch, which is slower: capturing a decode step";
    let (code, out, errors) =
        over("bench decode --device cuda --depth 64 --steps 3 --sparsity 0.5,0.7 --json");
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(errors.matches(said).count(), 1, "once, however many masks: {errors}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let steps = &report["gpu_steps"];
    assert_eq!((&steps["repeated"], &steps["waves"]), (&0.into(), &4.into()), "{steps}");
    assert!(steps["not_recorded"].as_str().unwrap().starts_with("capturing"), "{steps}");
    let (code, out, errors) = over("bench attention --device cuda --tokens 256 --json");
    assert_eq!(code, Some(0), "{errors}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["rows"][0]["recorded"], false, "{report}");
    assert!(report["not_recorded"].as_str().unwrap().starts_with("capturing"), "{report}");
    assert!(errors.contains("launch by launch, which is slower: capturing"), "{errors}");
    let (code, out, _) = over("selftest --device cuda --filter recorded");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED") && out.contains("0 of 40 steps repeated a recording"), "{out}");
}

/// A setting that does not fit the GPU is listed, and the others are measured.
#[test]
fn what_does_not_fit_keeps_nothing_else_from_being_measured() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = over_the_driver(&program, Doing::AtOnce, &folder.path().join("calls"))
        .args("bench attention --device cuda --tokens 256,8k --json".split(' '))
        .env("KSCOPE_DRIVER_BYTES", "600000000")
        .env("KSCOPE_CUDA_WAVES", "2")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (rows, others) = (&report["rows"], &report["not_measured"]);
    assert_eq!((&rows[0]["tokens"], &rows[1]), (&256.into(), &serde_json::Value::Null), "{report}");
    assert_eq!((&rows[0]["recorded"], &report["waves"]), (&true.into(), &2.into()), "{report}");
    assert_eq!(others[0]["tokens"], 8192, "{report}");
    assert!(others[0]["why"].as_str().unwrap().contains("on the GPU, which has"), "{report}");
}

/// Caches that do not fit are refused with sizes, and so is a file that holds no kernels, a setting
/// that is none, and a GPU that is too old.
#[test]
fn what_a_gpu_cannot_do_is_one_sentence() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let refused = |name: &str, value: &str, more: &[&str]| {
        let output = over_the_driver(&program, Doing::AtOnce, &log)
            .args(["run", "--device", "cuda", "--raw", "--prompt", "one", "--max-new", "400"])
            .args(more)
            .env(name, value)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        text
    };
    // The demo's weights fit in this GPU, and one of its caches.
    let text = refused("KSCOPE_DRIVER_BYTES", "64000000", &["--batch", "4000"]);
    assert!(text.contains("on the GPU, which has") && text.contains(" left of 61.0 MiB"), "{text}");
    let text = refused("KSCOPE_FATBIN", "Cargo.toml", &[]);
    assert!(text.contains("KSCOPE_FATBIN=Cargo.toml") && text.contains("nvcc -fatbin"), "{text}");
    let text = String::from_utf8(
        over_the_driver(&program, Doing::AtOnce, &log)
            .args("bench attention --device cuda --tokens 64".split(' '))
            .env("KSCOPE_CUDA_WITHOUT", "logits")
            .output()
            .unwrap()
            .stderr,
    );
    assert!(text.unwrap().contains("KSCOPE_CUDA_WITHOUT leaves nothing out"), "no attention");
    for (name, wrong) in [
        ("KSCOPE_CUDA_WAVES", "four"),
        ("KSCOPE_CUDA_LEAST_BYTES", "0"),
        ("KSCOPE_CUDA_WITHOUT", "logit"),
    ] {
        let text = refused(name, wrong, &[]);
        assert!(text.contains(name) && text.contains(&format!("not `{wrong}`")), "{text}");
    }
    let text = refused("KSCOPE_DRIVER_CAPABILITY", "7", &[]);
    assert!(text.contains("compute capability 7.0") && text.contains("8.0 or newer"), "{text}");
}

/// Everything in the program that runs on a GPU runs on every GPU from sm_80 on: candle's kernels
/// are PTX text for sm_80, or objects that hold such PTX.
#[test]
fn the_program_holds_kernels_for_every_gpu_that_is_supported() {
    let Some(program) = program() else { return };
    let bytes = std::fs::read(&program).unwrap();
    let count = |text: &str| bytes.windows(text.len()).filter(|at| *at == text.as_bytes()).count();
    let (all, old) = (count(".target sm_"), count(".target sm_80"));
    println!("{old} of {all} texts of PTX are for sm_80");
    assert!(old > 5 && old == all, "{old} of {all} texts of PTX are for sm_80");

    if !require("nvcc") {
        return;
    }
    let cuobjdump = nvcc::find(root()).unwrap().with_file_name("cuobjdump");
    if !cuobjdump.is_file() {
        return cannot_run_here("the CUDA toolkit has no cuobjdump, which lists compiled kernels");
    }
    let list = |what: &str| -> Vec<String> {
        let output = Command::new(&cuobjdump).arg(what).arg(&program).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
    };
    let (texts, codes) = (list("--list-ptx"), list("--list-elf"));
    println!("objects: {} PTX, {} machine code", texts.len(), codes.len());
    assert!(texts.len() >= 10, "{texts:?}");
    assert!(texts.iter().all(|name| name.ends_with(".sm_80.ptx")), "{texts:?}");
    for code in &codes {
        let object = code.split(".sm_").next().unwrap();
        let own = |text: &&String| text.split(".sm_").next().unwrap() == object;
        // Numbered per kind: a.1.sm_80.ptx and a.1.sm_80.cubin.
        let name = object.rsplit_once('.').map_or(object, |(name, _)| name);
        let of_name = |text: &&String| text.starts_with(name);
        assert!(
            texts.iter().any(|text| own(&text) || of_name(&text)),
            "{code} has no PTX beside it"
        );
    }
}

#[test]
fn learning_over_the_driver_gives_the_mask_of_the_cpu() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut masks = Vec::new();
    for device in ["cpu", "cuda"] {
        let out = folder.path().join(format!("{device}.safetensors"));
        let settings = "--model demo --sparsity 0.9 --sink 4 --recent 16 --chunk 8 --ctx 100..160 --pool 6 --steps 30 --mask-steps 3";
        let output = Command::new(&program)
            .args([
                "learn",
                "--method",
                "leank",
                "--device",
                device,
                "--check-prompts",
                "0",
                "--seed",
                "3",
                "--out",
            ])
            .arg(&out)
            .args(settings.split(' '))
            .env("LD_LIBRARY_PATH", driver())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "--device {device}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        masks.push(
            files::read(&out, &Split { kv_heads: None, head_dim: None })
                .unwrap()
                .into_mask(device)
                .unwrap()
                .mask()
                .clone(),
        );
    }
    assert!(masks[0].kept_ratio() < 0.2, "something is pruned: {}", masks[0].kept_ratio());
    assert_eq!(masks[0], masks[1]);
}
