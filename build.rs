//! Feature `cuda`: compiles the kernels and builds stubs that load NVIDIA's libraries on first use.
//! Without the feature it does nothing.

#[cfg(feature = "cuda")]
#[path = "kernels/stubs.rs"]
mod stubs;

#[cfg(feature = "cuda")]
#[path = "kernels/nvcc.rs"]
mod nvcc;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda-types")]
    kernels();
}

/// Writes the compiled kernels to the output folder; an empty file where only types are checked.
#[cfg(feature = "cuda-types")]
fn kernels() {
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    let fatbin = out.join("kernels.fatbin");
    #[cfg(not(feature = "cuda"))]
    std::fs::write(&fatbin, []).expect("the output folder is writable");
    #[cfg(feature = "cuda")]
    {
        println!("cargo:rerun-if-changed=kernels");
        println!("cargo:rerun-if-env-changed=KSCOPE_NVCC");
        let root =
            std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let nvcc = nvcc::find(&root)
            .expect("feature `cuda` needs nvcc of CUDA 13.0: docs/GPU.md says how to get it");
        let version = std::process::Command::new(&nvcc)
            .arg("--version")
            .output()
            .expect("nvcc starts")
            .stdout;
        let version = String::from_utf8_lossy(&version);
        assert!(
            version.contains(nvcc::RELEASE),
            "{} must be of {}, not\n{version}",
            nvcc.display(),
            nvcc::RELEASE
        );
        let output = nvcc::fatbin(&nvcc, &root, &fatbin).output().expect("nvcc starts");
        assert!(
            output.status.success(),
            "nvcc failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        stubs::link(&nvcc, &out);
    }
}
