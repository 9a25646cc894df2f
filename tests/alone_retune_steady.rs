//! Repeated retunes do not accumulate memory. In its own process, because it measures memory.

use std::sync::Arc;

use kscope::decode::comparison::Mode;
use peak_alloc::PeakAlloc;
use rand::{SeedableRng, rngs::StdRng};

use kscope_testing::demo;
use kscope_testing::sides::{WINDOW, compare, prompt, random_spec, spec, steps};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn a_thousand_random_retunes_leave_no_trace() {
    let model = demo();
    let ids = prompt(&model, 9, 1500);
    let first = spec(&model, WINDOW, |_, _, channel| channel % 2 == 0);
    let mut untouched = compare(&model, &first, Mode::Forced, vec![ids.clone()]);
    let mut comparison = compare(&model, &first, Mode::Forced, vec![ids]);
    let mut random = StdRng::seed_from_u64(11);
    let mut after_warm_up = 0;
    for round in 0..1000 {
        comparison.retune(&random_spec(&model, &mut random)).unwrap();
        if round % 50 == 0 {
            steps(&mut comparison, 1);
            steps(&mut untouched, 1);
        }
        if round == 100 {
            after_warm_up = MEMORY.current_usage();
        }
    }
    let last = Arc::clone(comparison.b.caches[0].spec());
    let grown = MEMORY.current_usage() as i64 - after_warm_up as i64;
    assert!(
        grown < 1 << 20,
        "{grown} bytes more after 900 further retunes (18 tokens came meanwhile)"
    );
    assert_eq!(comparison.a.generated, untouched.a.generated, "the dense side knows nothing of it");
    untouched.retune(&last).unwrap();
    for side in [&mut comparison, &mut untouched] {
        side.retune(&first).unwrap();
        steps(side, 6);
    }
    let vocab = model.config().vocab;
    assert_eq!(
        comparison.b.logits(0, vocab),
        untouched.b.logits(0, vocab),
        "bit for bit as if nothing had been changed before"
    );
    assert_eq!(comparison.b.caches[0].allocated(), untouched.b.caches[0].allocated());
}
