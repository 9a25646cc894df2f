//! Work that ends in order when the program is asked to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg(unix)]
use crate::machine;

/// A flag that a signal sets which asks the program to end; asked twice, it ends at once.
pub fn asked_to_stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // `nohup` and shells that start work in the background have some ignored.
        if machine::ignores(signal) {
            continue;
        }
        // Without a handler a signal ends the program, as ever.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop));
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    stop
}
