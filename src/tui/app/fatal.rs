//! The terminal when the program dies of a signal: a stack overflow, a failed allocation, a fault, or
//! a signal that nobody expects. No destructor runs then, so a handler takes the modes off.
//!
//! A handler may only do what is safe in one: system calls, atomics, and reading what was written
//! before it was installed.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the modes are on.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Says that the modes are on now. Call [`watch`] before the first of them.
pub(super) fn entered() {
    ENTERED.store(true, Ordering::SeqCst);
}

/// Says that the modes go off; whether they were on.
pub(super) fn left() -> bool {
    ENTERED.swap(false, Ordering::SeqCst)
}

/// Whether the modes are on.
pub(super) fn is_entered() -> bool {
    ENTERED.load(Ordering::SeqCst)
}

#[cfg(unix)]
pub(super) use handler::watch;

/// Where there are no such signals.
#[cfg(not(unix))]
pub(super) fn watch() {}

#[cfg(unix)]
mod handler {
    use std::ffi::{c_int, c_void};
    use std::mem::{MaybeUninit, zeroed};
    use std::ptr::null_mut;
    use std::sync::{Once, OnceLock};

    /// Signals that end a program, and their names. Those that ask it to end are the runner's.
    const SIGNALS: [(c_int, &str); 13] = [
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGPROF, "SIGPROF"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGSYS, "SIGSYS"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGVTALRM, "SIGVTALRM"),
        (libc::SIGXCPU, "SIGXCPU"),
    ];

    /// Ends what the inspector switched on: a synchronized update, the mouse, bracketed paste, the
    /// alternate screen, and the hidden cursor.
    const LEAVE: &[u8] = b"\x1b[?2026l\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?2004l\x1b[?1049l\x1b[?25h";

    /// The terminal's modes before the inspector, and what the signals did.
    struct Before {
        modes: Option<libc::termios>,
        actions: [libc::sigaction; SIGNALS.len()],
    }

    static BEFORE: OnceLock<Before> = OnceLock::new();
    static INSTALLED: Once = Once::new();

    /// Installs the handlers, once. The terminal has its ordinary modes still.
    pub(in crate::tui::app) fn watch() {
        BEFORE.get_or_init(|| {
            // SAFETY: every pointer is to a value of the right type that is filled by the call; an
            // all-zero `sigaction` is a valid one. The handler does only what is allowed in one.
            unsafe {
                let mut modes = MaybeUninit::<libc::termios>::zeroed();
                let has_modes = libc::tcgetattr(libc::STDIN_FILENO, modes.as_mut_ptr()) == 0;
                let mut actions: [libc::sigaction; SIGNALS.len()] = zeroed();
                for (before, (signal, _)) in actions.iter_mut().zip(SIGNALS) {
                    libc::sigaction(signal, std::ptr::null(), before);
                }
                Before { modes: has_modes.then(|| modes.assume_init()), actions }
            }
        });
        INSTALLED.call_once(install);
    }

    fn install() {
        for (at, (signal, _)) in SIGNALS.into_iter().enumerate() {
            // Whoever started the program may want it to ignore some.
            if BEFORE.get().is_none_or(|before| before.actions[at].sa_sigaction == libc::SIG_IGN) {
                continue;
            }
            // SAFETY: as above. What the handler reads is there from here on.
            unsafe {
                let mut action: libc::sigaction = zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                // A thread whose stack is full has another one for signals.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(signal, &action, null_mut());
            }
        }
    }

    fn say(file: c_int, bytes: &[u8]) {
        // SAFETY: the pointer and the length are of one slice. Nobody is left to hear of an error.
        unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// Takes the modes off, says which signal it was, and lets the signal do what it did before.
    extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        let Some(before) = BEFORE.get() else { return };
        let at = SIGNALS.iter().position(|(known, _)| *known == signal);
        if super::left() {
            say(libc::STDOUT_FILENO, LEAVE);
            if let Some(modes) = &before.modes {
                // SAFETY: the modes are those that the terminal gave.
                unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, modes) };
            }
            say(libc::STDERR_FILENO, b"kscope: ended by ");
            say(libc::STDERR_FILENO, at.map_or("a signal", |at| SIGNALS[at].1).as_bytes());
            say(libc::STDERR_FILENO, b"\n");
        }
        // SAFETY: the action was given by the system, and an all-zero one is the default. A fault
        // happens again when the handler returns, and is then handled as before (a full stack is told
        // by Rust's own handler). Anything else is sent again, and ends the program.
        unsafe {
            let is_fault = matches!(
                signal,
                libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP
            );
            match at {
                Some(at) if is_fault && (*info).si_code > 0 => {
                    libc::sigaction(signal, &before.actions[at], null_mut());
                }
                _ => {
                    libc::sigaction(signal, &zeroed(), null_mut());
                    libc::raise(signal);
                }
            }
        }
    }
}
