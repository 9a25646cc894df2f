//! Compiles the simulator with the kernels' sources in three forms: unchanged, unchanged under
//! sanitizers (a shared library), and as copies with one defect each, which the tests expect to be
//! caught.

mod defects;

use std::path::{Path, PathBuf};
use std::{env, fs};

use defects::{DEFECTS, Defect, is_of_prefill};

fn main() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let cuda = here.join("../cuda");
    for folder in [&here, &cuda] {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            println!(
                "cargo:rerun-if-changed={}",
                entry.expect("a readable folder").path().display()
            );
        }
    }

    let mut objects = vec![];
    let mut variants = String::from("-DKX_VARIANTS(X)=X(kscope)");
    objects.extend(
        compiler(&here, &cuda)
            .define("KX_VARIANT", "kscope")
            .file(here.join("variant.cpp"))
            .compile_intermediates(),
    );
    for defect in DEFECTS {
        let folder = out.join(defect.0);
        plant(&cuda, &folder, defect);
        let mut build = compiler(&here, &folder);
        let kind = if is_of_prefill(defect) { "KX_MUTANT_PREFILL" } else { "KX_MUTANT" };
        build.define("KX_VARIANT", defect.0).define(kind, None).out_dir(&folder);
        objects.extend(build.file(here.join("variant.cpp")).compile_intermediates());
        variants += &format!(" X({})", defect.0);
    }
    let mut simulator = compiler(&here, &cuda);
    simulator.flag(&variants).file(here.join("sim.cpp")).objects(&objects).compile("ksim");

    for (file, of_prefill) in [("defects.rs", false), ("prefill_defects.rs", true)] {
        let of = DEFECTS.iter().filter(|defect| is_of_prefill(defect) == of_prefill);
        let names: Vec<&str> = of.map(|defect| defect.0).collect();
        fs::write(out.join(file), format!("&{names:?}")).expect("the output folder is writable");
    }
    sanitized(&here, &cuda, &out);
}

fn compiler(here: &Path, cuda: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).define("KX_SIM", None).include(cuda).include(here);
    // Kernels compare a loop counter with unsigned limits, and read the memory of a launch through
    // pointers of other types.
    build
        .flag("-Wno-sign-compare")
        .flag("-fno-strict-aliasing")
        .flag("-Wno-unused-function")
        .flag("-Wno-unknown-pragmas");
    build
}

/// A copy of the kernels with one defect.
fn plant(cuda: &Path, folder: &Path, (name, file, from, to): &Defect) {
    fs::create_dir_all(folder).expect("the output folder is writable");
    for entry in fs::read_dir(cuda).expect("the sources are there") {
        let path = entry.expect("a readable folder").path();
        let source = fs::read_to_string(&path).expect("the sources are text");
        let source = if path.file_name().is_some_and(|at| at == *file) {
            assert_eq!(source.matches(from).count(), 1, "the defect {name} no longer fits {file}");
            source.replace(from, to)
        } else {
            source
        };
        fs::write(folder.join(path.file_name().expect("a file")), source)
            .expect("the output folder is writable");
    }
}

/// The same simulator and kernels under the address and undefined-behaviour sanitizers, as a shared
/// library.
fn sanitized(here: &Path, cuda: &Path, out: &Path) {
    let library = out.join("libksim_sanitized.so");
    let mut command = compiler(here, cuda).get_compiler().to_command();
    command.args([
        "-g",
        "-O1",
        "-fPIC",
        "-shared",
        "-DKX_VARIANT=kscope",
        "-DKX_VARIANTS(X)=X(kscope)",
    ]);
    command.args([
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
        "-fno-omit-frame-pointer",
    ]);
    command.arg(here.join("sim.cpp")).arg(here.join("variant.cpp")).arg("-o").arg(&library);
    let status = command.status().expect("the compiler starts");
    assert!(status.success(), "compiling the kernels under sanitizers failed: {command:?}");
    println!("cargo:rustc-env=KSIM_SANITIZED={}", library.display());
    let runtime = compiler(here, cuda)
        .get_compiler()
        .to_command()
        .arg("-print-file-name=libasan.so")
        .output();
    let runtime = String::from_utf8(runtime.expect("the compiler starts").stdout).expect("a path");
    println!("cargo:rustc-env=KSIM_RUNTIME={}", runtime.trim());
}
