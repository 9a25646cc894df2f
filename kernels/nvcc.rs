//! How the kernels are compiled. The build script (feature `cuda`) and the test of the compiled
//! kernels share this file.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of nvcc to use. A driver of CUDA 13.0 loads its PTX, but refuses the newer PTX of
/// newer compilers.
pub const RELEASE: &str = "release 13.0";

/// Where the compiler may be, in order: `KSCOPE_NVCC`, `CUDA_HOME`, the folder into which
/// continuous integration installs the pinned wheels, the search path.
pub fn find(root: &Path) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let wheels = root.join("target/cuda-toolkit/nvidia/cu13/bin/nvcc");
    let candidates =
        [set("KSCOPE_NVCC"), set("CUDA_HOME").map(|home| home.join("bin/nvcc")), Some(wheels)];
    let on_path = || {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join("nvcc"))
            .find(|nvcc| nvcc.is_file())
    };
    candidates.into_iter().flatten().find(|nvcc| nvcc.is_file()).or_else(on_path)
}

/// The command that compiles the kernels into one file, for sm_80, sm_90a, and as PTX for the
/// architectures between and after them.
pub fn fatbin(nvcc: &Path, root: &Path, output: &Path) -> Command {
    let mut command = Command::new(nvcc);
    command.args([
        "-std=c++17",
        "-O3",
        "-lineinfo",
        "--compress-mode=size",
        "-Xptxas=-v",
        "-fatbin",
    ]);
    command.args([
        "-gencode",
        "arch=compute_80,code=[sm_80,compute_80]",
        "-gencode",
        "arch=compute_90a,code=sm_90a",
    ]);
    command.arg("-o").arg(output).arg(root.join("kernels/cuda/kscope.cu"));
    command
}
