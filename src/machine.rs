//! What this machine has: threads, free memory, and what the process takes.

use std::sync::OnceLock;

use nvml_wrapper::Nvml;

use crate::{Error, Result};

/// Resident memory of this process in bytes, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// The most resident memory that this process has had, in bytes, where the system tells.
pub fn peak_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Memory that could be taken without swapping, in bytes, where the system tells.
pub fn available_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The bytes that a `key   n kB` line of a system file states.
fn kilobytes(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Memory of a graphics card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceMemory {
    /// Bytes in use, by every process.
    pub used: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Memory of the first NVIDIA card, where there is one and its management library can be loaded.
pub fn device_memory() -> Option<DeviceMemory> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    let nvml = NVML.get_or_init(|| Nvml::init().ok()).as_ref()?;
    let memory = nvml.device_by_index(0).and_then(|device| device.memory_info()).ok()?;
    Some(DeviceMemory { used: memory.used, total: memory.total })
}

/// Refuses to take more memory than there is, with the sizes; `what` names what wants it.
pub fn check_memory(what: &str, bytes: u64) -> Result<()> {
    match available_bytes() {
        Some(free) if bytes > free => Err(Error::input(format!(
            "{what} needs {}, and this machine has {} left",
            human(bytes),
            human(free)
        ))),
        _ => Ok(()),
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

/// A size as people type it: `1.5GiB`, `800 MB`, `4096`; decimal and binary units, at least one
/// byte.
pub fn parse_size(text: &str) -> Option<u64> {
    let unit_at =
        text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit: f64 = match text[unit_at..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number = text[..unit_at]
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number > 0.0)?;
    Some((number * unit).floor() as u64).filter(|&bytes| bytes > 0)
}

/// A context in tokens as people type it: `32768`, `32k` (1024 each) or `1m`.
pub fn parse_tokens(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1 << 10),
        Some(b'm') => (&lower[..lower.len() - 1], 1 << 20),
        _ => (&lower[..], 1),
    };
    let number = digits
        .parse::<u32>()
        .ok()
        .filter(|&number| number > 0)
        .and_then(|number| number.checked_mul(unit));
    number.map(|number| number as usize)
}

/// Bytes for people: `1.50 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes} B"),
        (_, v) if v < 10.0 => format!("{v:.2} {}", UNITS[unit]),
        (_, v) if v < 100.0 => format!("{v:.1} {}", UNITS[unit]),
        (_, v) => format!("{v:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        assert_eq!(human(999), "999 B");
        assert_eq!(human(1536), "1.50 KiB");
        assert_eq!(human(131 * 1024 * 1024), "131 MiB");
        assert_eq!(human(16 << 30), "16.0 GiB");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_sizes_that_make_sense() {
        let resident = resident_bytes().expect("linux tells");
        assert!(resident > 1 << 20 && resident < 1 << 40, "{resident}");
        assert!(available_bytes().expect("linux tells") > 1 << 20);
        assert!(check_memory("a test", u64::MAX).is_err());
    }
}
