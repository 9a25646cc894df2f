//! Allocations of small caches against every assignment there is.

use super::*;

fn group_bytes(plan: &CachePlan, chunk: usize) -> u64 {
    let group = crate::mask::group_tokens(chunk);
    let bytes = |head| plan.head_bytes(head, 2).at(64, group).iter().sum::<usize>();
    plan.shape().each_head().map(bytes).sum::<usize>() as u64
}

/// Every choice of one head as bytes and damage, those that another one beats in both left out.
fn every_choice(
    sensitivity: &Sensitivity,
    row: usize,
    options: &AllocationOptions,
) -> Vec<(u64, f64)> {
    let shape = sensitivity.shape();
    let (layer, head) = (row / shape.kv_heads, row % shape.kv_heads);
    let mut all = Vec::new();
    if options.v_widths.contains(&Zero) {
        all.push((0, f64::from(sensitivity.v(layer, head, Zero))));
    }
    let widths = &options.k_widths;
    let mut k = vec![0; shape.head_dim];
    loop {
        let assigned: Vec<Width> = k.iter().map(|&at| widths[at]).collect();
        let whole = Width::ALL[1..].iter().all(|&width| {
            assigned.iter().filter(|&&other| other == width).count().is_multiple_of(options.align)
        });
        if whole && assigned.iter().any(|&width| width != Zero) {
            let damage: f64 = assigned
                .iter()
                .enumerate()
                .map(|(channel, &width)| f64::from(sensitivity.k(layer, head, channel, width)))
                .sum();
            for &v in options.v_widths.iter().filter(|&&v| v != Zero) {
                let bytes = HeadBytes::of(&assigned, v, options.coding, 2);
                let bytes = bytes.at(64, 64).iter().sum::<usize>() as u64;
                all.push((bytes, damage + f64::from(sensitivity.v(layer, head, v))));
            }
        }
        let Some(at) = k.iter().position(|&at| at + 1 < widths.len()) else { break };
        k[..at].fill(0);
        k[at] += 1;
    }
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut best = f64::INFINITY;
    all.retain(|&(_, damage)| {
        let better = damage < best;
        best = best.min(damage);
        better
    });
    all
}

/// The least damage of all assignments within a budget of bytes per group.
fn brute_force(sensitivity: &Sensitivity, options: &AllocationOptions, budget: u64) -> Option<f64> {
    let mut sums = vec![(0u64, 0.0)];
    for row in 0..sensitivity.shape().heads() {
        let choices = every_choice(sensitivity, row, options);
        sums = sums
            .iter()
            .flat_map(|&(bytes, damage)| choices.iter().map(move |&(b, d)| (bytes + b, damage + d)))
            .filter(|&(bytes, _)| bytes <= budget)
            .collect();
    }
    sums.into_iter().map(|(_, damage)| damage).min_by(f64::total_cmp)
}

/// Compares with all assignments at many budgets; returns in how many of how many cases the result
/// was the best there is.
fn against_brute_force(
    shape: Shape,
    kind: Kind,
    options: &AllocationOptions,
    seeds: u64,
) -> (usize, usize) {
    let (mut exact, mut cases) = (0, 0);
    let dense = (64 * 4 * shape.entries()) as u64;
    let head = dense / shape.heads() as u64;
    for seed in 0..seeds {
        let sensitivity = damages(shape, kind, seed);
        for percent in [0, 3, 8, 14, 20, 28, 35, 41, 48, 54, 61, 75, 90, 100] {
            let part = f64::from(percent) / 100.0;
            let options =
                AllocationOptions { target: AllocationTarget::Share(part), ..options.clone() };
            let budget = (part * dense as f64 * (1.0 + 1e-12)).floor() as u64;
            let best = brute_force(&sensitivity, &options, budget);
            let found = allocate(&sensitivity, &options);
            let Some(best) = best else {
                assert!(found.is_err(), "{shape} {kind:?} seed {seed} at {percent} %");
                continue;
            };
            let found = found.unwrap();
            let place =
                format!("{shape} {kind:?} seed {seed} at {percent} %: best {best}, {found:?}");
            assert!(group_bytes(&found.plan, 64) + found.left == budget, "{place}");
            assert!(
                (damage_of(&sensitivity, &found.plan) - found.predicted).abs() < 1e-9,
                "{place}"
            );
            assert!(found.least <= best + 1e-9, "{place}");
            assert!(found.predicted >= best - 1e-9, "{place}");
            // The bound: the price of one head's bytes.
            let bound = found.price * head as f64;
            assert!(found.predicted <= best + bound + 1e-9, "{place}");
            exact += usize::from(found.predicted <= best + 1e-9);
            cases += 1;
        }
    }
    (exact, cases)
}

#[test]
fn small_problems_come_within_a_step_of_brute_force() {
    for (shape, kind, share_exact) in [
        (Shape { layers: 1, kv_heads: 1, head_dim: 3 }, Kind::Falling, 0.5),
        (Shape { layers: 1, kv_heads: 2, head_dim: 3 }, Kind::Falling, 0.3),
        (Shape { layers: 2, kv_heads: 1, head_dim: 4 }, Kind::Falling, 0.2),
        (Shape { layers: 1, kv_heads: 2, head_dim: 3 }, Kind::Wild, 0.3),
        (Shape { layers: 1, kv_heads: 2, head_dim: 3 }, Kind::Ties, 0.3),
    ] {
        let options = AllocationOptions { align: 1, ..share(0.0, shape.head_dim) };
        let (exact, cases) = against_brute_force(shape, kind, &options, 8);
        println!("{shape} {kind:?}: {exact} of {cases} are the best there is");
        assert!(cases > 60 && exact as f64 >= share_exact * cases as f64, "{exact} of {cases}");
    }
}

#[test]
fn aligned_problems_come_within_a_step_of_brute_force() {
    for (kind, share_exact) in [(Kind::Falling, 0.2), (Kind::Wild, 0.1)] {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 4 };
        let options = AllocationOptions { align: 2, ..share(0.0, 4) };
        let (exact, cases) = against_brute_force(shape, kind, &options, 8);
        println!("{kind:?}: {exact} of {cases} are the best there is");
        assert!(cases > 60 && exact as f64 >= share_exact * cases as f64, "{exact} of {cases}");
    }
}
