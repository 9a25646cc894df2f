//! What this machine has: threads, free memory, and the memory of this process.

mod limits;

use std::sync::OnceLock;

use nvml_wrapper::Nvml;

use crate::{Error, Result, numbers};

/// Resident memory of this process in bytes, where the system reports it.
pub fn resident_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// Peak resident memory of this process in bytes, where the system reports it.
pub fn peak_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Memory that can be allocated without swapping, in bytes, where the system reports it.
pub fn available_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The bytes in a line `key   n kB` of a system file.
fn kilobytes(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Memory of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceMemory {
    /// Bytes in use, by every process.
    pub used: u64,
    /// Total bytes.
    pub total: u64,
}

/// Memory of the first NVIDIA GPU, where there is one and its management library can be loaded.
pub fn device_memory() -> Option<DeviceMemory> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    let nvml = NVML.get_or_init(|| Nvml::init().ok()).as_ref()?;
    let memory = nvml.device_by_index(0).and_then(|device| device.memory_info()).ok()?;
    Some(DeviceMemory { used: memory.used, total: memory.total })
}

/// Refuses to allocate more memory than is free, or than this process may take, naming both sizes;
/// `what` names the use.
pub fn check_memory(what: &str, bytes: u64) -> Result<()> {
    let machine = available_bytes().map(|left| Room { left, of: "this machine".to_owned() });
    let rooms = machine.into_iter().chain(limits::rooms());
    match rooms.min_by_key(|room| room.left) {
        Some(Room { left, of }) if bytes > left => Err(Error::input(format!(
            "{what} needs {}, and {of} has {} left",
            numbers::bytes(bytes),
            numbers::bytes(left)
        ))),
        _ => Ok(()),
    }
}

/// Memory that something still has for this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Room {
    left: u64,
    /// What has it, as the subject of a sentence.
    of: String,
}

/// Whether this process ignores a signal, because whoever started it wants that.
pub fn ignores(signal: i32) -> bool {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1
}

/// Most threads of a computation.
pub const MOST_THREADS: usize = 1024;

/// Refuses more threads than [`MOST_THREADS`] in the variable that rayon reads.
pub fn check_thread_variable() -> Result<()> {
    const NAME: &str = "RAYON_NUM_THREADS";
    let asked = std::env::var(NAME).ok().and_then(|text| text.parse::<usize>().ok());
    match asked.filter(|&threads| threads > MOST_THREADS) {
        None => Ok(()),
        Some(threads) => Err(Error::input(format!(
            "{NAME} must be at most {}, not {threads}",
            numbers::count(MOST_THREADS)
        ))),
    }
}

/// Sets the number of threads of every computation; without a number, `RAYON_NUM_THREADS` or all
/// processors.
pub fn set_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    if threads == 0 {
        return Err(Error::input("--threads must be at least 1, not 0"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|cause| Error::run(format!("starting {threads} threads: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_sizes_that_make_sense() {
        let resident = resident_bytes().expect("linux tells");
        assert!(resident > 1 << 20 && resident < 1 << 40, "{resident}");
        assert!(available_bytes().expect("linux tells") > 1 << 20);
        assert!(check_memory("a test", u64::MAX).is_err());
    }
}
