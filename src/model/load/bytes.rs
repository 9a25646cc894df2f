//! The bytes of a model file: mapped from disk or embedded in the program.
//!
//! Another process may cut a mapped file short. Reading beyond its new end is then a SIGBUS, which
//! would end the program; here it reads as zeros, and the file is known to be damaged.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::{Error, Result, error, input_file};

/// Read-only bytes of one file.
pub enum Bytes {
    /// Mapped from disk.
    Mapped(Mapped),
    /// Part of the program.
    Embedded(&'static [u8]),
}

/// A mapped file.
pub struct Mapped {
    /// Ends before the map does: fields are dropped in order.
    watch: guard::Watch,
    map: Mmap,
    path: PathBuf,
}

impl Bytes {
    /// Maps a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = input_file::open(path, input_file::WEIGHTS)?;
        // SAFETY: the map is read-only and private to this value. Another process could still
        // change or truncate the file. Weights are copied out during the load, so that risk ends
        // with it; a truncated file is watched for, and numbers of any value are checked later.
        let map =
            unsafe { Mmap::map(&file) }.map_err(|cause| error::io("opening", path, &cause))?;
        let watch = guard::Watch::new(&map);
        Ok(Self::Mapped(Mapped { watch, map, path: path.to_owned() }))
    }

    /// Refuses a file that was cut short after it was mapped, if any of what is gone was read.
    pub fn intact(&self) -> Result<()> {
        match self {
            Self::Mapped(mapped) if mapped.watch.is_damaged() => Err(Error::run(format!(
                "{} became shorter while it was being read: expected {} bytes, found {}",
                mapped.path.display(),
                crate::numbers::count(mapped.map.len()),
                std::fs::metadata(&mapped.path).map_or_else(
                    |_| "none".to_owned(),
                    |now| crate::numbers::count(now.len() as usize)
                )
            ))),
            _ => Ok(()),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => &mapped.map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

/// The handler of SIGBUS. It may only do what is safe in a signal handler: atomics and system calls.
#[cfg(unix)]
mod guard {
    use std::ffi::{c_int, c_void};
    use std::mem::{MaybeUninit, zeroed};
    use std::ptr::null_mut;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Files that can be watched at once: parts of a split model. Files beyond are not watched.
    const MOST: usize = 512;

    /// A map: its first byte and length, 0 where the slot is free, and whether a page was missing.
    struct Slot {
        start: AtomicUsize,
        len: AtomicUsize,
        is_taken: AtomicBool,
        is_damaged: AtomicBool,
    }

    static SLOTS: [Slot; MOST] = [const {
        Slot {
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            is_taken: AtomicBool::new(false),
            is_damaged: AtomicBool::new(false),
        }
    }; MOST];

    /// Bytes of a page.
    static PAGE: AtomicUsize = AtomicUsize::new(4096);

    /// What SIGBUS did before.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Watches one map until it is dropped.
    pub(super) struct Watch(Option<usize>);

    impl Watch {
        pub fn new(map: &[u8]) -> Self {
            BEFORE.get_or_init(install);
            let free = |slot: &Slot| !slot.is_taken.swap(true, Ordering::SeqCst);
            let at = SLOTS.iter().position(free);
            if let Some(slot) = at.and_then(|at| SLOTS.get(at)) {
                slot.is_damaged.store(false, Ordering::SeqCst);
                slot.start.store(map.as_ptr() as usize, Ordering::SeqCst);
                slot.len.store(map.len(), Ordering::SeqCst);
            }
            Self(at)
        }

        fn slot(&self) -> Option<&'static Slot> {
            self.0.and_then(|at| SLOTS.get(at))
        }

        pub fn is_damaged(&self) -> bool {
            self.slot().is_some_and(|slot| slot.is_damaged.load(Ordering::SeqCst))
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            if let Some(slot) = self.slot() {
                slot.len.store(0, Ordering::SeqCst);
                slot.is_taken.store(false, Ordering::SeqCst);
            }
        }
    }

    fn install() -> libc::sigaction {
        // SAFETY: `sigaction` and `sysconf` get valid pointers and constants; an all-zero
        // `sigaction` is a valid one. The handler does only what is allowed in one.
        unsafe {
            if let Ok(page @ 1..) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
                PAGE.store(page, Ordering::SeqCst);
            }
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let mut before = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(libc::SIGBUS, &action, before.as_mut_ptr());
            before.assume_init()
        }
    }

    /// Puts zeros where a watched map has no bytes any more; the instruction is then tried again.
    extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        // SAFETY: the kernel passes a valid `info`. `mmap` replaces pages of a map that belongs to
        // a watched `Mmap`, which is read-only and lives as long as its slot is taken; the rest of
        // that map stays as it is.
        unsafe {
            let address = (*info).si_addr() as usize;
            let page = PAGE.load(Ordering::SeqCst);
            for slot in &SLOTS {
                let start = slot.start.load(Ordering::SeqCst);
                let len = slot.len.load(Ordering::SeqCst);
                if address < start || address - start >= len {
                    continue;
                }
                let from = address / page * page;
                let zeros = libc::mmap(
                    from as *mut c_void,
                    (start + len).next_multiple_of(page) - from,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                );
                if zeros != libc::MAP_FAILED {
                    slot.is_damaged.store(true, Ordering::SeqCst);
                    return;
                }
            }
            // Not ours: whoever was there before takes it, when the instruction is tried again or
            // the signal comes once more.
            match BEFORE.get() {
                Some(before) => libc::sigaction(signal, before, null_mut()),
                None => libc::sigaction(signal, &zeroed(), null_mut()),
            };
            if (*info).si_code <= 0 {
                libc::raise(signal);
            }
        }
    }
}

/// Where there are no such signals.
#[cfg(not(unix))]
mod guard {
    pub(super) use Unwatched as Watch;

    pub(super) struct Unwatched;

    impl Unwatched {
        pub fn new(_: &[u8]) -> Self {
            Self
        }

        fn slot(&self) -> Option<&'static Slot> {
            self.0.and_then(|at| SLOTS.get(at))
        }

        pub fn is_damaged(&self) -> bool {
            false
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_shorter_reads_as_zeros_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, vec![7_u8; 1 << 20]).unwrap();
        let (whole, cut) = (Bytes::open(&path).unwrap(), Bytes::open(&path).unwrap());
        assert_eq!(whole[1 << 19], 7);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(10_000).unwrap();
        assert!(cut.intact().is_ok(), "nothing that is gone was read yet");
        assert_eq!((cut[0], cut[9_999]), (7, 7));
        assert!(cut[20_000..].iter().all(|&byte| byte == 0));
        let sentence = cut.intact().unwrap_err().to_string();
        assert!(sentence.contains("weights became shorter"), "{sentence}");
        assert!(sentence.ends_with("expected 1,048,576 bytes, found 10,000"), "{sentence}");
        assert!(whole.intact().is_ok(), "another map of the same file is another");
    }
}
