//! Whether standard output was closed before the program began (`kscope run >&-`).
//!
//! Rust's runtime opens `/dev/null` in the place of a closed standard stream, so that no other file
//! gets its number; everything printed is then lost without an error. So this looks before the
//! runtime begins, among the functions that the system runs first.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether nobody can see what is printed.
pub(super) fn stdout_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

#[cfg(unix)]
extern "C" fn look() {
    // SAFETY: asks for the flags of a file number and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

// SAFETY: the system calls the functions of this section one after the other before `main`. This
// one allocates nothing and uses nothing of Rust's runtime.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK: extern "C" fn() = look;
