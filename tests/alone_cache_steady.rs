//! A decode step allocates and copies nothing, unlike one of the LeanK authors' code. In its own
//! process, because it counts allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kscope::attention::{Attention, DecodeItem};
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_testing::tokens::*;

/// The system's allocator, which counts the requests.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn defect_16_a_decode_step_takes_no_memory_and_copies_no_middle() {
    let shape = shape(1, 3, 64);
    let tokens = Tokens::random(shape, 3, 8192, 16);
    let mut cache = tokens.first(8000).cache(&spec(
        shape,
        Window::default(),
        Dtype::F16,
        mask_with_counts(shape, &[0, 19, 64], 16),
    ));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut attention = Attention::new();
    let mut out = vec![0.0; tokens.q[0].len()];
    let mut quiet = 0;
    for len in 8000..8192 {
        let row = len * tokens.row()..(len + 1) * tokens.row();
        let before = (CALLS.load(Relaxed), BYTES.load(Relaxed));
        pool.install(|| {
            cache.append(0, &tokens.k[0][row.clone()], &tokens.v[0][row]);
            attention
                .decode(0, &mut [DecodeItem { cache: &cache, q: &tokens.q[0], out: &mut out }]);
        });
        let (calls, bytes) = (CALLS.load(Relaxed) - before.0, BYTES.load(Relaxed) - before.1);
        quiet += usize::from(calls == 0);
        // A step that opens blocks allocates at most one slab for each store of the head, and
        // tables may double.
        assert!(
            bytes < 3 * 3 * (8 * 64 * 64 * 2 + 8192),
            "step {len} took {bytes} bytes in {calls} allocations"
        );
    }
    assert!(quiet > 180, "only {quiet} of 192 steps took no memory at all");
}
