//! The CUDA driver that runs on a CPU (`kernels/driver`): it refuses what a real driver refuses,
//! and the program built with feature `cuda` (docs/GPU.md) runs on it as a whole. Where that
//! program is not built, the test says so and is skipped.

use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::OnceLock;

use kscope::mask::files::{self, Split};
use kscope_testing::needs::cuda_program;
use kscope_testing::{require, root};

/// The folder with the driver; built once.
fn driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
        let status =
            Command::new(root().join("kernels/driver/build.sh")).arg(&folder).status().unwrap();
        assert!(status.success(), "the driver is not built");
        folder
    })
}

type Address = *mut c_void;

/// The functions that these tests call. Handles are addresses; status codes are the driver's.
struct Driver {
    library: Address,
}

impl Driver {
    fn open() -> Self {
        let path = CString::new(driver().join("libcuda.so.1").to_str().unwrap()).unwrap();
        // SAFETY: the string ends with a zero byte.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "the driver does not load");
        Self { library }
    }

    /// A function by name; the caller gives its type.
    fn get<F: Copy>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: the library is loaded and the string ends with a zero byte.
        let symbol = unsafe { libc::dlsym(self.library, name.as_ptr()) };
        assert!(!symbol.is_null() && size_of::<F>() == size_of::<Address>(), "{name:?}");
        // SAFETY: the caller's type is that of the declaration in `driver.cpp`.
        unsafe { std::mem::transmute_copy(&symbol) }
    }

    fn stream(&self) -> Address {
        let mut stream = null_mut();
        assert_eq!(
            self.get::<extern "C" fn(*mut Address, u32) -> c_int>("cuStreamCreate")(&mut stream, 0),
            0
        );
        stream
    }

    fn allocate(&self, bytes: usize, stream: Address) -> Address {
        let mut memory = null_mut();
        assert_eq!(
            self.get::<extern "C" fn(*mut Address, usize, Address) -> c_int>("cuMemAllocAsync")(
                &mut memory,
                bytes,
                stream
            ),
            0
        );
        memory
    }

    fn free(&self, memory: Address, stream: Address) -> c_int {
        self.get::<extern "C" fn(Address, Address) -> c_int>("cuMemFreeAsync")(memory, stream)
    }

    fn fill(&self, memory: Address, value: u8, bytes: usize, stream: Address) {
        let fill =
            self.get::<extern "C" fn(Address, u8, usize, Address) -> c_int>("cuMemsetD8Async");
        assert_eq!(fill(memory, value, bytes, stream), 0);
    }

    fn copy(&self, how: &str, to: Address, from: Address, bytes: usize, stream: Address) -> c_int {
        self.get::<extern "C" fn(Address, Address, usize, Address) -> c_int>(how)(
            to, from, bytes, stream,
        )
    }

    fn read(&self, memory: Address, stream: Address) -> [u8; 64] {
        let mut bytes = [0u8; 64];
        assert_eq!(
            self.copy("cuMemcpyDtoHAsync_v2", bytes.as_mut_ptr().cast(), memory, 64, stream),
            0
        );
        bytes
    }

    /// Captures `work`; returns the graph and the status of the end of the capture.
    fn capture(&self, stream: Address, work: impl FnOnce()) -> (Address, c_int) {
        assert_eq!(
            self.get::<extern "C" fn(Address, c_int) -> c_int>("cuStreamBeginCapture_v2")(
                stream, 1
            ),
            0
        );
        work();
        let mut graph = null_mut();
        let status = self
            .get::<extern "C" fn(Address, *mut Address) -> c_int>("cuStreamEndCapture")(
            stream, &mut graph,
        );
        (graph, status)
    }
}

/// Status codes of the driver API.
const UNSUPPORTED: c_int = 900;
const INVALIDATED: c_int = 901;

#[test]
fn a_graph_does_its_work_at_every_launch_and_not_before() {
    let driver = Driver::open();
    let stream = driver.stream();
    let (source, result) = (driver.allocate(64, stream), driver.allocate(64, stream));
    driver.fill(source, 1, 64, stream);
    let (graph, status) = driver.capture(stream, || {
        let between = driver.allocate(64, stream);
        assert_eq!(driver.copy("cuMemcpyDtoDAsync_v2", between, source, 64, stream), 0);
        assert_eq!(driver.copy("cuMemcpyDtoDAsync_v2", result, between, 64, stream), 0);
        assert_eq!(driver.free(between, stream), 0);
    });
    assert_eq!(status, 0);
    assert_eq!(driver.read(result, stream), [0xff; 64], "nothing has run");
    let launch = driver.get::<extern "C" fn(Address, Address) -> c_int>("cuGraphLaunch");
    for value in [1, 7] {
        driver.fill(source, value, 64, stream);
        assert_eq!(launch(graph, stream), 0);
        assert_eq!(driver.read(result, stream), [value; 64]);
    }
}

#[test]
fn what_a_capture_cannot_hold_is_refused_and_ends_it() {
    let driver = Driver::open();
    let stream = driver.stream();
    let memory = driver.allocate(64, stream);
    let mut host = [0u8; 64];
    let bytes: Address = host.as_mut_ptr().cast();
    let mut out = null_mut();
    type Take = extern "C" fn(*mut Address, usize) -> c_int;
    let refused = |what: &str, expected: c_int, work: &mut dyn FnMut() -> c_int| {
        let mut status = 0;
        let (_, end) = driver.capture(stream, || status = work());
        assert_eq!((status, end), (expected, INVALIDATED), "{what}");
    };
    refused("a copy from the host", UNSUPPORTED, &mut || {
        driver.copy("cuMemcpyHtoDAsync_v2", memory, bytes, 64, stream)
    });
    refused("a copy to the host", UNSUPPORTED, &mut || {
        driver.copy("cuMemcpyDtoHAsync_v2", bytes, memory, 64, stream)
    });
    refused("waiting", UNSUPPORTED, &mut || {
        driver.get::<extern "C" fn(Address) -> c_int>("cuStreamSynchronize")(stream)
    });
    refused("memory out of order", UNSUPPORTED, &mut || {
        driver.get::<Take>("cuMemAlloc_v2")(&mut out, 64)
    });
    refused("a module", UNSUPPORTED, &mut || {
        driver.get::<extern "C" fn(*mut Address, Address) -> c_int>("cuModuleLoadData")(
            &mut null_mut(),
            null_mut(),
        )
    });
    refused("memory from before", 1, &mut || driver.free(memory, stream));
    // The stream can be used again.
    driver.fill(memory, 3, 64, stream);
    assert_eq!(driver.read(memory, stream), [3; 64]);
}

/// The program with feature `cuda`; `None` where it is not built.
#[track_caller]
fn program() -> Option<PathBuf> {
    require("cuda-build").then(cuda_program)
}

/// Decodes 60 tokens after about 510, with `batch` equal sequences. Half way through, a second slab
/// begins.
fn decode(program: &Path, device: &str, batch: usize, log: &Path) -> serde_json::Value {
    let prompt = "The password of the harbour is 4821. The key of the tower is 9031. ".repeat(19);
    let output = Command::new(program)
        .args([
            "run",
            "--device",
            device,
            "--mask",
            "masks/demo.safetensors",
            "--sink",
            "4",
            "--recent",
            "16",
            "--chunk",
            "8",
        ])
        .args([
            "--max-new",
            "60",
            "--json",
            "--raw",
            "--batch",
            &batch.to_string(),
            "--prompt",
            &prompt,
        ])
        .current_dir(root())
        .env("LD_LIBRARY_PATH", driver())
        .env("KSCOPE_DRIVER_LOG", log)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "--device {device}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_whole_decode_takes_one_graph_per_token_and_no_memory() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    for batch in [1, 2] {
        one_graph_per_token(&program, batch, &folder.path().join("calls"));
    }
}

fn one_graph_per_token(program: &Path, batch: usize, log: &Path) {
    let (here, there) = (decode(program, "cpu", batch, log), decode(program, "cuda", batch, log));
    assert!(there["device"].as_str().unwrap().contains("stands for a GPU"), "{}", there["device"]);
    assert_eq!(here["tokens"], there["tokens"], "the same tokens");
    let numbers = |run: &serde_json::Value| -> Vec<f64> {
        run["logprobs"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    for (here, there) in numbers(&here).into_iter().zip(numbers(&there)) {
        assert!((here - there).abs() < 2e-2, "log-probabilities {here} and {there}");
    }

    let calls = std::fs::read_to_string(log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert!(!calls.iter().any(|call| call.starts_with("error")), "the driver refused something");
    assert!(
        calls.iter().any(|call| call.starts_with("product tf32")),
        "attention of the prompt takes tensor cores"
    );
    let graphs: Vec<usize> = (0..calls.len()).filter(|&at| calls[at] == "graph").collect();
    let tokens = there["tokens"].as_array().unwrap().len();
    let mut kinds: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for pair in graphs.windows(2) {
        *kinds.entry(calls[pair[0]..pair[1]].to_vec()).or_default() += 1;
    }
    // The calls of one token: the graph, logits and queries out, then state, embedding and rotation
    // of the next token in.
    let (usual, count) = kinds.iter().max_by_key(|(_, count)| **count).unwrap();
    let names: Vec<&str> =
        usual.iter().map(|call| call.rsplit_once(' ').map_or(*call, |(name, _)| name)).collect();
    assert_eq!(
        names,
        ["graph", "copy out", "copy out", "copy in", "copy in", "copy in", "copy in"],
        "calls per token"
    );
    // The other steps begin a plan or are captured.
    let plans = calls.iter().filter(|call| **call == "capture").count();
    println!(
        "{batch} sequences, {tokens} tokens, {} graphs launched, {plans} captured, {} calls per token",
        graphs.len(),
        usual.len()
    );
    assert!(
        plans == 2 && *count + 3 * plans + 1 >= tokens,
        "{count} of {tokens} tokens are one graph; {plans} plans"
    );
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
            .args(["learn", "--device", device, "--check-prompts", "0", "--seed", "3", "--out"])
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
