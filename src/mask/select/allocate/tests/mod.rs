mod exhaustive;

use super::*;
use crate::mask::select::{ByteBudget, Floor, Heads};
use crate::mask::{CachePlan, Coding, HeadBytes, Sensitivity, Shape, Width, Window, bytes};
use crate::random::SplitMix64;

use Width::{Eight, Four, Sixteen, Two, Zero};

const SMOL: Shape = Shape { layers: 30, kv_heads: 3, head_dim: 64 };

/// Made-up damage of a kind.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// A quarter per two bits, over many orders of magnitude, as measured ones are.
    Falling,
    /// Any number for any width.
    Wild,
    /// Whole numbers up to 3, many of them equal or 0.
    Ties,
}

fn damages(shape: Shape, kind: Kind, seed: u64) -> Sensitivity {
    let mut random = SplitMix64::new(seed);
    let mut draw = || (random.draw() >> 11) as f64 / (1u64 << 53) as f64;
    let mut table = |rows: usize, whole: f64| -> Vec<f32> {
        let mut numbers = Vec::new();
        for _ in 0..rows {
            let base = (8.0 * draw() - 8.0).exp() * whole;
            numbers.extend((0..4).map(|width| match kind {
                Kind::Falling => {
                    (base * [1.0, 0.2, 0.012, 0.00006][width] * (0.8 + 0.4 * draw())) as f32
                }
                Kind::Wild => (draw() * whole) as f32,
                Kind::Ties => (4.0 * draw()).floor() as f32,
            }));
        }
        numbers
    };
    let k = table(shape.entries(), 1.0);
    let v = table(shape.heads(), shape.head_dim as f64 / 2.0);
    Sensitivity::new(shape, k, v).unwrap()
}

fn share(share: f64, head_dim: usize) -> AllocationOptions {
    AllocationOptions::new(AllocationTarget::Share(share), head_dim)
}

fn damage_of(sensitivity: &Sensitivity, plan: &CachePlan) -> f64 {
    plan.shape()
        .each_head()
        .map(|(layer, head)| {
            let v = f64::from(sensitivity.v(layer, head, plan.v(layer, head)));
            if plan.v(layer, head) == Zero {
                return v;
            }
            let k = plan.k(layer, head).iter().enumerate();
            v + k
                .map(|(channel, &width)| f64::from(sensitivity.k(layer, head, channel, width)))
                .sum::<f64>()
        })
        .sum()
}

#[test]
fn large_problems_use_the_budget_and_are_nearly_optimal() {
    let sensitivity = damages(SMOL, Kind::Falling, 7);
    for part in [0.10, 0.14, 0.20, 0.28, 0.41, 0.61, 0.75] {
        for (align, most_above) in [(1, 1.002), (8, 1.25)] {
            let options = AllocationOptions { align, ..share(part, 64) };
            let found = allocate(&sensitivity, &options).unwrap();
            let place =
                format!("{part} in runs of {align}: {} of {}", found.predicted, found.least);
            println!("{place}, {} bytes left", found.left);
            assert!(found.bytes_share <= part + 1e-12, "{place}: {}", found.bytes_share);
            // Less than one run's step from 8 to 16 bits, of 90 heads of 16,384 bytes.
            assert!(found.left < 60 * align as u64, "{place}: {} bytes left", found.left);
            assert!(part - found.bytes_share < 4e-4, "{place}: {}", found.bytes_share);
            assert!(found.predicted <= most_above * found.least, "{place}");
            assert!(found.predicted >= found.least, "{place}");
            assert_eq!(found, allocate(&sensitivity, &options).unwrap(), "deterministic");
            for (layer, head) in SMOL.each_head() {
                let counts =
                    |width| found.plan.k(layer, head).iter().filter(|&&w| w == width).count();
                assert!(Width::ALL.into_iter().all(|width| counts(width).is_multiple_of(align)));
            }
        }
    }
}

#[test]
fn a_wider_width_that_is_predicted_worse_is_not_chosen() {
    let shape = Shape { layers: 1, kv_heads: 1, head_dim: 4 };
    // 8 bits of K do more damage than 4, and 2 bits of V less than 4.
    let k = [4.0, 2.0, 0.5, 1.0].repeat(4);
    let sensitivity = Sensitivity::new(shape, k, vec![9.0, 0.1, 0.2, 0.05]).unwrap();
    for percent in 12..100 {
        let options = AllocationOptions { align: 1, ..share(f64::from(percent) / 100.0, 4) };
        let plan = allocate(&sensitivity, &options).unwrap().plan;
        assert!(!plan.k_widths().contains(&Eight), "{percent} %: {:?}", plan.k_widths());
        assert_ne!(plan.v_widths(), [Four], "{percent} %");
    }
}

#[test]
fn a_budget_above_everything_stores_everything_at_its_widest() {
    for kind in [Kind::Falling, Kind::Ties, Kind::Wild] {
        let sensitivity = damages(SMOL, kind, 1);
        let found = allocate(&sensitivity, &share(1.0, 64)).unwrap();
        assert!(found.plan.is_full() && found.predicted == 0.0, "{kind:?}");
    }
    let sensitivity = damages(SMOL, Kind::Falling, 1);
    let options = AllocationOptions {
        k_widths: vec![Four, Zero, Eight],
        v_widths: vec![Four],
        ..share(1.0, 64)
    };
    let plan = allocate(&sensitivity, &options).unwrap().plan;
    assert_eq!((plan.k_counts().0[3], plan.v_counts().0[2]), (5760, 90));
}

#[test]
fn damages_of_zero_are_spent_evenly_and_in_order() {
    let shape = Shape { layers: 2, kv_heads: 1, head_dim: 16 };
    let table = |rows: usize| vec![0.0; rows * 4];
    let nothing = Sensitivity::new(shape, table(shape.entries()), table(shape.heads())).unwrap();
    assert!(allocate(&nothing, &share(1.0, 16)).unwrap().plan.is_full());
    let found = allocate(&nothing, &share(0.4, 16)).unwrap();
    assert_eq!((found.predicted, found.least), (0.0, 0.0));
    let [first, second] = [0, 1].map(|layer| {
        found.plan.k(layer, 0).iter().map(|width| usize::from(width.bits())).sum::<usize>()
    });
    assert!(first >= second && second > 0, "{:?}", found.plan);
}

#[test]
fn a_dropped_head_costs_what_its_v_says_and_not_its_channels() {
    let shape = Shape { layers: 1, kv_heads: 2, head_dim: 8 };
    let k = vec![5.0; shape.entries() * 4];
    // Dropping the first head is nearly free; the second needs its V.
    let sensitivity =
        Sensitivity::new(shape, k, vec![0.001, 3.0, 2.0, 1.0, 90.0, 3.0, 2.0, 1.0]).unwrap();
    let found = allocate(&sensitivity, &share(0.5, 8)).unwrap();
    assert_eq!(found.plan.v_widths(), [Zero, Sixteen]);
    assert!((found.predicted - 0.001).abs() < 1e-6, "{found:?}");
    let kept = AllocationOptions { v_widths: vec![Four, Eight], ..share(0.5, 8) };
    assert!(!allocate(&sensitivity, &kept).unwrap().plan.v_widths().contains(&Zero));
}

#[test]
fn masks_and_single_widths_are_allocations_too() {
    let sensitivity = damages(SMOL, Kind::Falling, 3);
    let only = |k: &[Width], v: &[Width], part| {
        let options =
            AllocationOptions { k_widths: k.to_vec(), v_widths: v.to_vec(), ..share(part, 64) };
        allocate(&sensitivity, &options).unwrap()
    };
    let mask = only(&[Sixteen, Zero], &[Sixteen, Zero], 0.61);
    assert!(mask.plan.is_mask() && mask.bytes_share <= 0.61 && mask.bytes_share > 0.609);
    assert_eq!(mask.plan, CachePlan::of_mask(mask.plan.mask()));
    let bits = only(&[Eight, Four, Zero], &[Four], 0.28);
    assert_eq!(bits.plan.v_counts().0, [0, 0, 90, 0, 0]);
    assert_eq!((bits.plan.k_counts().0[1], bits.plan.k_counts().0[4]), (0, 0));
    assert!(bits.predicted < only(&[Four, Zero], &[Four], 0.28).predicted);
}

#[test]
fn a_size_at_a_context_counts_the_window() {
    let sensitivity = damages(SMOL, Kind::Falling, 4);
    let window = Window { sink: 16, recent: 128, chunk: 64 };
    let at = |bytes, tokens, element_size| {
        let budget = ByteBudget { bytes, tokens, window, element_size };
        let options =
            AllocationOptions { target: AllocationTarget::Bytes(budget), ..share(0.0, 64) };
        allocate(&sensitivity, &options)
    };
    for (tokens, element_size) in [(32 << 10, 2), (1000, 2), (5000, 4)] {
        let dense = bytes::dense(SMOL, tokens, element_size).total();
        let found = at(dense * 4 / 10, tokens, element_size).unwrap();
        let middle = window.middle(tokens);
        let total = bytes::planned(&found.plan, window, tokens, element_size).total();
        assert!(total <= dense * 4 / 10, "{tokens}");
        // Of one run's step from 8 bits to those of the elements in each group, and of the rest
        // that a budget leaves when groups share it.
        let step = (8 * (64 * element_size - 68) * middle / 64 + middle / 64) as u64;
        assert!(dense * 4 / 10 - total < step, "{tokens}: {total} of {}", dense * 4 / 10);
    }
    // A context inside the window has no middle.
    let dense = bytes::dense(SMOL, 100, 2).total();
    assert!(at(dense, 100, 2).unwrap().plan.is_full());
    let error = at(dense - 1, 100, 2).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("a cache of 100 tokens weighs 2,304,000 bytes"), "{error}");
    let window = bytes::dense(SMOL, 32768 - window.middle(32768), 2).total();
    assert!(at(window, 32768, 2).unwrap().plan.mask().total_kept() == 0);
}

#[test]
fn a_budget_that_cannot_be_met_names_the_least_that_can() {
    let sensitivity = damages(SMOL, Kind::Falling, 5);
    let options =
        AllocationOptions { k_widths: vec![Four, Eight], v_widths: vec![Four], ..share(0.28, 64) };
    let error = allocate(&sensitivity, &options).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    // 4.5 bits for K and 4.5 for V, of 32.
    assert!(error.to_string().contains("take at least 28.13 % of the middle of a dense f16 cache"));
    assert!(error.to_string().ends_with("found 28.00 %"), "{error}");
    let enough = AllocationOptions { target: AllocationTarget::Share(0.2813), ..options.clone() };
    assert_eq!(allocate(&sensitivity, &enough).unwrap().plan.k_counts().0[2], 5760);

    let window = Window { sink: 16, recent: 128, chunk: 64 };
    let budget = ByteBudget { bytes: 200 << 20, tokens: 32768, window, element_size: 2 };
    let fit = AllocationOptions { target: AllocationTarget::Bytes(budget), ..options };
    let error = allocate(&sensitivity, &fit).unwrap_err().to_string();
    assert!(
        error.contains("a cache of 32,768 tokens weighs at least 215,516,160 bytes"),
        "{error}"
    );
    assert!(error.ends_with("found 209,715,200 bytes"), "{error}");
}

#[test]
fn floors_locks_and_pairs_are_kept() {
    let shape = Shape { layers: 3, kv_heads: 2, head_dim: 16 };
    let sensitivity = damages(shape, Kind::Falling, 6);
    let pinned = CachePlan::uniform(shape, Two, Eight, Coding::best(16)).unwrap();
    let lock = |place, k, v| WidthLock { place, to: LockWidths::Widths { k, v } };
    let options = AllocationOptions {
        align: 4,
        floors: vec![Floor { heads: Heads::Layer(0), channels: 6 }],
        locks: vec![
            WidthLock {
                place: WidthPlace::Heads(Heads::Layer(1)),
                to: LockWidths::Plan(pinned.clone().into()),
            },
            lock(WidthPlace::Channel(1, 1, 3), Some(Sixteen), None),
            lock(WidthPlace::Heads(Heads::Head(2, 0)), Some(Zero), Some(Zero)),
            lock(WidthPlace::Heads(Heads::Head(2, 1)), None, Some(Eight)),
        ],
        ..share(0.25, 16)
    };
    let plan = allocate(&sensitivity, &options).unwrap().plan;
    assert!((0..2).all(|head| plan.mask().kept_count(0, head) >= 8), "6 rounds up to 8");
    assert_eq!((plan.k(1, 0), plan.v(1, 0)), (pinned.k(1, 0), Eight));
    assert!((0..16).all(|c| plan.k(1, 1)[c] == if c == 3 { Sixteen } else { Two }));
    assert_eq!((plan.v(2, 0), plan.v(2, 1)), (Zero, Eight));
    let counts = |width| plan.k(0, 0).iter().filter(|&&other| other == width).count();
    assert!(Width::ALL.into_iter().all(|width| counts(width).is_multiple_of(4)));

    let paired = AllocationOptions { pair_closed: true, align: 4, ..share(0.3, 16) };
    let plan = allocate(&sensitivity, &paired).unwrap().plan;
    for (layer, head) in shape.each_head() {
        let k = plan.k(layer, head);
        assert_eq!(k[..8], k[8..]);
    }
    assert!(plan.k_counts().0.iter().filter(|&&count| count > 0).count() > 2);
}

#[test]
fn a_short_last_run_is_stored_last() {
    let shape = Shape { layers: 4, kv_heads: 2, head_dim: 20 };
    for seed in 0..4 {
        for part in [0.1, 0.2, 0.3, 0.5, 0.7] {
            let options = share(part, 20);
            let plan = allocate(&damages(shape, Kind::Falling, seed), &options).unwrap().plan;
            for (layer, head) in shape.each_head() {
                let counts = Width::ALL.map(|width| {
                    plan.k(layer, head).iter().filter(|&&other| other == width).count()
                });
                let short = counts[1..].iter().filter(|&&count| !count.is_multiple_of(8)).count();
                assert!(short <= usize::from(counts[0] == 0), "{counts:?}");
            }
        }
    }
}

#[test]
fn wrong_options_are_refused_with_a_sentence() {
    let shape = Shape { layers: 2, kv_heads: 1, head_dim: 15 };
    let sensitivity = damages(shape, Kind::Falling, 1);
    let base = share(0.5, 15);
    let lock = |place, k, v| vec![WidthLock { place, to: LockWidths::Widths { k, v } }];
    let all = WidthPlace::Heads(Heads::All);
    let other = CachePlan::full(SMOL);
    let wrong = [
        (AllocationOptions { align: 3, ..base.clone() }, "alignment 3"),
        (AllocationOptions { pair_closed: true, ..base.clone() }, "head_dim 15 is odd"),
        (AllocationOptions { chunk: 0, ..base.clone() }, "a chunk holds at least 1 token"),
        (share(f64::NAN, 15), "bytes NaN"),
        (share(1.5, 15), "bytes 1.5"),
        (AllocationOptions { k_widths: vec![Zero], ..base.clone() }, "widths of K: expected"),
        (AllocationOptions { v_widths: Vec::new(), ..base.clone() }, "widths of V: expected"),
        (
            AllocationOptions { coding: Coding::Blocks { rotated: false }, ..base.clone() },
            "need scales per channel",
        ),
        (
            AllocationOptions {
                floors: vec![Floor { heads: Heads::All, channels: 16 }],
                ..base.clone()
            },
            "floor of 16 channels",
        ),
        (
            AllocationOptions {
                locks: lock(WidthPlace::Channel(0, 0, 15), None, None),
                ..base.clone()
            },
            "channel 15: expected one of 0 to 14",
        ),
        (
            AllocationOptions {
                locks: lock(WidthPlace::Heads(Heads::Layer(2)), None, None),
                ..base.clone()
            },
            "layer 2: expected one of 0 to 1",
        ),
        (
            AllocationOptions { locks: lock(all, Some(Four), Some(Zero)), ..base.clone() },
            "locks of layer 0, KV head 0: a head without V cannot store K",
        ),
        (
            AllocationOptions { locks: lock(all, Some(Zero), Some(Four)), ..base.clone() },
            "a head without K channels cannot store V",
        ),
        (
            AllocationOptions {
                locks: vec![WidthLock { place: all, to: LockWidths::Plan(other.into()) }],
                ..base.clone()
            },
            "lock to a plan of shape",
        ),
    ];
    for (options, expected) in wrong {
        let error = allocate(&sensitivity, &options).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(expected), "expected {expected:?}, found {error}");
    }
}

#[test]
fn a_mask_of_a_sparsity_has_the_least_damage_of_its_bytes() {
    for (kind, seed) in [(Kind::Falling, 1), (Kind::Wild, 2), (Kind::Ties, 3)] {
        let sensitivity = damages(SMOL, kind, seed);
        for sparsity in [0.3, 0.5, 0.8, 0.95] {
            let mask = prune(&sensitivity, sparsity, 8, false).unwrap();
            let pruned = 1.0 - mask.kept_ratio();
            // A head that is dropped or not is 64 channels of 5,760.
            assert!((pruned - sparsity).abs() < 0.02, "{kind:?} {sparsity}: {pruned}");
            let plan = CachePlan::of_mask(&mask);
            let target = AllocationTarget::Share(plan.bytes_share(64) + 1e-6);
            let options = AllocationOptions::of_mask(target, 64);
            let best = allocate(&sensitivity, &options).unwrap().plan;
            let (own, best) = (damage_of(&sensitivity, &plan), damage_of(&sensitivity, &best));
            assert!(own <= best * 1.001 + 1e-6, "{kind:?} {sparsity}: {own} against {best}");
        }
    }
    let pairs = prune(&damages(SMOL, Kind::Falling, 4), 0.5, 8, true).unwrap();
    for head in pairs.bits().chunks_exact(64) {
        assert_eq!(head[..32], head[32..], "pairs are kept or pruned whole");
    }
    for wrong in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(prune(&damages(SMOL, Kind::Falling, 5), wrong, 8, false).is_err(), "{wrong}");
    }
}
