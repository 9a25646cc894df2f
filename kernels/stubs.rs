//! Stand-ins for NVIDIA's libraries, so that one program starts with and without them.
//!
//! candle binds its CUDA calls at link time, so the program would not start where a library is
//! missing. Instead it is linked with one small archive per library. Every function in it is a
//! jump: its first call opens the real library and looks the real function up. Where there is no
//! library the function returns an error code, and the program continues without a GPU.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The linker's name of a library, the folder of its declarations in cudarc, the files to open in
/// order, and the code to return where none can be opened.
type Library = (&'static str, &'static str, &'static [&'static str], u32);

const LIBRARIES: &[Library] = &[
    // CUDA_ERROR_NO_DEVICE, CUBLAS_STATUS_NOT_INITIALIZED, CURAND_STATUS_NOT_INITIALIZED,
    // NVRTC_ERROR_INTERNAL_ERROR.
    ("cuda", "driver", &["libcuda.so.1"], 100),
    ("cublas", "cublas", &["libcublas.so.13", "libcublas.so.12"], 1),
    ("cublasLt", "cublaslt", &["libcublasLt.so.13", "libcublasLt.so.12"], 1),
    ("curand", "curand", &["libcurand.so.10"], 101),
    ("nvrtc", "nvrtc", &["libnvrtc.so.13", "libnvrtc.so.12"], 11),
];

/// Makes the archives and tells cargo where they are. The CUDA runtime is NVIDIA's own static one,
/// which opens the driver itself.
pub fn link(nvcc: &Path, out: &Path) {
    let target = env::var("TARGET").expect("cargo sets it");
    assert!(
        target.starts_with("x86_64-") && target.contains("linux"),
        "feature `cuda` is made for x86-64 Linux, not {target}"
    );
    let folder = out.join("stubs");
    fs::create_dir_all(&folder).expect("the output folder is writable");
    let declarations = cudarc();
    for library in LIBRARIES {
        archive(library, &declarations.join(library.1).join("sys/mod.rs"), &folder);
    }
    let runtime =
        nvcc.ancestors().nth(2).expect("bin/nvcc lies in a toolkit").join("lib/libcudart_static.a");
    fs::copy(&runtime, folder.join("libcudart.a"))
        .unwrap_or_else(|error| panic!("{}: {error}", runtime.display()));
    println!("cargo:rustc-link-search=native={}", folder.display());
}

/// The source folder of the cudarc version that this build uses.
fn cudarc() -> PathBuf {
    let cargo = env::var("CARGO").expect("cargo sets it");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--features", "cuda"])
        // What is for other platforms only need not have been downloaded.
        .args(["--filter-platform", &env::var("TARGET").expect("cargo sets it")])
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let manifests =
        metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let is_cudarc = |path: &&str| {
        Path::new(path)
            .parent()
            .and_then(Path::file_name)
            .is_some_and(|name| name.to_string_lossy().starts_with("cudarc-"))
    };
    let manifest = manifests.into_iter().find(is_cudarc).expect("cudarc is among the packages");
    Path::new(manifest).with_file_name("src")
}

/// The names of the functions that a file declares.
fn functions(path: &Path) -> Vec<String> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub unsafe fn ")?.split('(').next());
    // Leaves out cudarc's own helpers, whose names start in the same way.
    let is_nvidia = |name: &&str| {
        let driver = name
            .strip_prefix("cu")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()));
        driver || ["cublas", "curand", "nvrtc"].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut names: Vec<String> = names.filter(is_nvidia).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    assert!(!names.is_empty(), "{} declares no function", path.display());
    names
}

fn archive((library, _, files, missing): &Library, declarations: &Path, folder: &Path) {
    let names = functions(declarations);
    let mut jumps = String::from(".text\n");
    for (index, name) in names.iter().enumerate() {
        writeln!(jumps, ".globl {name}\n.type {name}, @function\n{name}: jmp *.Lslot{index}(%rip)\n.size {name}, .-{name}")
            .expect("memory");
        writeln!(jumps, ".Lfirst{index}: pushq ${index}\njmp .Lfind").expect("memory");
    }
    // Saves the registers of the arguments during the lookup; the stack is aligned at the call.
    jumps += ".Lfind:\n";
    let general = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax"];
    general.iter().for_each(|register| writeln!(jumps, "pushq %{register}").expect("memory"));
    jumps += "subq $136, %rsp\n";
    (0..8).for_each(|i| writeln!(jumps, "movups %xmm{i}, {}(%rsp)", 16 * i).expect("memory"));
    writeln!(jumps, "movl 192(%rsp), %edi\ncall kscope_find_{library}\nmovq %rax, %r11")
        .expect("memory");
    (0..8).for_each(|i| writeln!(jumps, "movups {}(%rsp), %xmm{i}", 16 * i).expect("memory"));
    jumps += "addq $136, %rsp\n";
    general.iter().rev().for_each(|register| writeln!(jumps, "popq %{register}").expect("memory"));
    jumps += "addq $8, %rsp\njmp *%r11\n.data\n.balign 8\n";
    writeln!(
        jumps,
        ".globl kscope_slots_{library}\n.hidden kscope_slots_{library}\nkscope_slots_{library}:"
    )
    .expect("memory");
    (0..names.len())
        .for_each(|index| writeln!(jumps, ".Lslot{index}: .quad .Lfirst{index}").expect("memory"));
    jumps += ".section .note.GNU-stack,\"\",@progbits\n";

    let quoted = |names: &mut dyn Iterator<Item = &str>| {
        names.map(|name| format!("\"{name}\",")).collect::<String>()
    };
    let finder = format!(
        "#include <dlfcn.h>
#include <stddef.h>
extern void *kscope_slots_{library}[] __attribute__((visibility(\"hidden\")));
static const char *const NAMES[] = {{{}}};
static const char *const FILES[] = {{{}}};
static int missing(void) {{ return {missing}; }}
__attribute__((visibility(\"hidden\"))) void *kscope_find_{library}(unsigned index) {{
    static void *library;
    for (size_t i = 0; !library && i < sizeof FILES / sizeof *FILES; i++) library = dlopen(FILES[i], RTLD_NOW | RTLD_GLOBAL);
    void *function = library ? dlsym(library, NAMES[index]) : NULL;
    if (!function) return (void *)missing;
    kscope_slots_{library}[index] = function;
    return function;
}}
",
        quoted(&mut names.iter().map(String::as_str)),
        quoted(&mut files.iter().copied()),
    );
    let (assembly, source) =
        (folder.join(format!("{library}_jumps.S")), folder.join(format!("{library}_find.c")));
    fs::write(&assembly, jumps).expect("the output folder is writable");
    fs::write(&source, finder).expect("the output folder is writable");
    cc::Build::new()
        .cargo_metadata(false)
        .out_dir(folder)
        .file(assembly)
        .file(source)
        .compile(library);
}
