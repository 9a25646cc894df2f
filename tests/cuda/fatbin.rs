//! The compiled kernels, checked without a GPU: no spills, registers within a budget, and tensor
//! cores and asynchronous copies in the machine code. Needs the CUDA 13.0 compiler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kscope::attention::cuda::{DecodeKernel, Kernel};
use kscope::element::Dtype;
use kscope_testing::{nvcc, require, root};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    text
}

/// The assembler's report for one kernel and one architecture.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    registers: usize,
    stack: usize,
    spills: usize,
}

/// Numbers per (architecture, kernel) from the assembler's report.
fn usages(report: &str) -> BTreeMap<(String, String), Usage> {
    let mut found: BTreeMap<(String, String), Usage> = BTreeMap::new();
    let mut current = None;
    let number = |line: &str, before: &str| -> usize {
        let end = line.find(before).unwrap_or_else(|| panic!("`{before}` in `{line}`"));
        line[..end]
            .trim_end()
            .rsplit(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    for line in report.lines() {
        if line.contains("Compiling entry function") {
            let mut quoted = line.split('\'').skip(1).step_by(2);
            let kernel = quoted.next().unwrap().to_owned();
            current = Some((quoted.next().unwrap().to_owned(), kernel));
        } else if line.contains("bytes stack frame") {
            let usage = found.entry(current.clone().expect("a kernel was named")).or_default();
            usage.stack = number(line, " bytes stack frame");
            usage.spills = number(line, " bytes spill stores") + number(line, " bytes spill loads");
        } else if line.contains("Used ") && line.contains(" registers") {
            found.entry(current.clone().expect("a kernel was named")).or_default().registers =
                number(line, " registers");
        }
    }
    found
}

/// Most registers per thread, so that as many blocks fit on a multiprocessor as the launch geometry
/// assumes. The loads of the queries are all under way at once, each in a register of its own.
fn budget(kernel: Kernel) -> usize {
    // Two blocks of 128 threads; more registers there are not.
    if matches!(kernel, Kernel::Prefill(_)) {
        return 255;
    }
    let Kernel::Decode(DecodeKernel { head_dim, heads, coded, .. }) = kernel else { return 64 };
    match (head_dim, heads) {
        (64, 8) => 96,
        (80 | 96, 8) if !coded => 112,
        (80 | 96 | 112, 8) if coded => 168,
        (256, 8) => 168,
        (256, _) => 240,
        _ => 152,
    }
}

#[test]
fn cuda_fatbin_kernels_spill_nothing_and_use_tensor_cores() {
    if !require("nvcc") {
        return;
    }
    let nvcc = nvcc::find(root()).unwrap();
    let version = run(Command::new(&nvcc).arg("--version"));
    assert!(
        version.contains(nvcc::RELEASE),
        "{} is not of {}:\n{version}",
        nvcc.display(),
        nvcc::RELEASE
    );
    let fatbin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels.fatbin");
    let report = run(&mut nvcc::fatbin(&nvcc, root(), &fatbin));
    assert!(!report.contains("warning"), "{report}");

    let kernels: Vec<Kernel> = Kernel::all().collect();
    uses_few_registers(&kernels, &usages(&report));

    let cuobjdump = nvcc.with_file_name("cuobjdump");
    assert!(
        run(Command::new(&cuobjdump).arg("--list-ptx").arg(&fatbin)).contains("sm_80.ptx"),
        "PTX for other GPUs"
    );
    // nvdisasm prints the machine code; it is in the same folder.
    let folder = nvcc.parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(folder.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let code =
        run(Command::new(&cuobjdump).arg("--dump-sass").arg(&fatbin).env("PATH", path.unwrap()));
    uses_tensor_cores(&kernels, &functions(&code));
}

/// Every kernel was compiled for both architectures, spills nothing and fits in the registers.
fn uses_few_registers(kernels: &[Kernel], usages: &BTreeMap<(String, String), Usage>) {
    println!(
        "{:<22} {:<8} {:>9} {:>7} {:>7} {:>7}",
        "kernel", "for", "registers", "spills", "stack", "shared"
    );
    let shared: BTreeMap<String, usize> =
        kernels.iter().map(|kernel| (kernel.name(), kernel.shared_bytes())).collect();
    for ((architecture, kernel), usage) in usages {
        println!(
            "{kernel:<22} {architecture:<8} {:>9} {:>7} {:>7} {:>7}",
            usage.registers, usage.spills, usage.stack, shared[kernel]
        );
    }
    for kernel in kernels {
        // The most that a block of sm_80 may have.
        assert!(kernel.shared_bytes() <= 163 << 10, "{}", kernel.name());
        for architecture in ["sm_80", "sm_90a"] {
            let usage = usages.get(&(architecture.to_owned(), kernel.name()));
            let usage = usage
                .unwrap_or_else(|| panic!("{} was not compiled for {architecture}", kernel.name()));
            assert_eq!(
                (usage.spills, usage.stack),
                (0, 0),
                "{} for {architecture} spills",
                kernel.name()
            );
            assert!(
                (1..=budget(*kernel)).contains(&usage.registers),
                "{} for {architecture}: {usage:?}",
                kernel.name()
            );
            // The blocks that the plan assumes fit in the registers of a multiprocessor.
            let threads = kernel.threads() as usize * kernel.resident_blocks();
            assert!(
                usage.registers.next_multiple_of(8) * threads <= 65_536,
                "{} for {architecture}: {usage:?}",
                kernel.name()
            );
        }
    }
    assert_eq!(usages.len(), 2 * kernels.len(), "kernels that the launch geometry does not know");
}

/// Lines of machine code by kernel and architecture.
fn functions(code: &str) -> BTreeMap<String, Vec<&str>> {
    let mut functions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let (mut architecture, mut function) = (String::new(), String::new());
    for line in code.lines() {
        if let Some(name) = line.trim().strip_prefix("arch = ") {
            architecture = name.to_owned();
        } else if let Some((_, name)) = line.split_once("Function : ") {
            function = format!("{} {architecture}", name.trim());
            functions.entry(function.clone()).or_default();
        } else if let Some(lines) = functions.get_mut(&function) {
            lines.push(line);
        }
    }
    functions
}

/// No kernel uses local memory, and decode kernels use the tensor cores and the instructions that
/// feed them.
fn uses_tensor_cores(kernels: &[Kernel], functions: &BTreeMap<String, Vec<&str>>) {
    let count = |kernel: &Kernel, architecture: &str, what: &str| {
        let lines = functions.get(&format!("{} {architecture}", kernel.name()));
        lines
            .unwrap_or_else(|| panic!("no machine code of {} for {architecture}", kernel.name()))
            .iter()
            .filter(|line| line.contains(what))
            .count()
    };
    for architecture in ["sm_80", "sm_90a"] {
        for kernel in kernels {
            let count = |what: &str| count(kernel, architecture, what);
            assert_eq!(
                count("LDL") + count("STL"),
                0,
                "{} for {architecture} uses local memory",
                kernel.name()
            );
            let product = |dtype: Dtype| match dtype {
                Dtype::Bf16 => "HMMA.16816.F32.BF16",
                _ => "HMMA.16816.F32 ",
            };
            if let Kernel::Prefill(of) = kernel {
                let (products, loads) = (count(product(of.dtype)), count("LDSM.16.M88.4"));
                let transposed = count("LDSM.16.MT88.4");
                let copies = count("LDGSTS.E.BYPASS.128");
                println!(
                    "{} {architecture}: {products} HMMA, {copies} LDGSTS of 16 bytes, {loads} + {transposed} LDSM",
                    kernel.name()
                );
                // Scores and values of a tile: two products for each load of keys or values, twice
                // as many where a warp has 32 tokens.
                let steps = of.head_dim / 16;
                let parts = of.tokens() / 64;
                assert!(products >= parts * steps * of.keys() / 4, "{}", kernel.name());
                assert!(loads >= steps * (parts + of.keys() / 16), "{}", kernel.name());
                assert!(transposed >= steps * of.keys() / 16, "{}", kernel.name());
                assert!(copies >= 4, "{} for {architecture}: asynchronous copies", kernel.name());
            }
            if let Kernel::Decode(DecodeKernel { dtype, head_dim, heads, .. }) = kernel {
                let product = product(*dtype);
                println!(
                    "{} {architecture}: {} HMMA, {} LDGSTS of 16 bytes, {} LDSM, {} MOVM",
                    kernel.name(),
                    count(product),
                    count("LDGSTS.E.BYPASS.128"),
                    count("LDSM"),
                    count("MOVM")
                );
                assert!(
                    count(product) >= heads / 8 * 2 * head_dim / 16,
                    "{} for {architecture}: tensor cores",
                    kernel.name()
                );
                assert!(
                    count("LDGSTS.E.BYPASS.128") >= 4,
                    "{} for {architecture}: asynchronous copies",
                    kernel.name()
                );
                assert!(
                    count("LDSM.16.M88.4") >= head_dim / 16
                        && count("LDSM.16.MT88.4") >= head_dim / 16,
                    "matrix loads"
                );
                assert!(
                    count("MOVM.16.MT88") >= heads / 4,
                    "{} for {architecture}: transposed weights",
                    kernel.name()
                );
            }
        }
    }
}
