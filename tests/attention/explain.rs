//! What the inspector shows of a step: logits, mass by part, what pruning lost, and live
//! importance.

use kscope::attention::{channel_activity, explain};
use kscope::cache::CacheSpec;
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_testing::tokens::*;

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 32 };

#[test]
fn exact_and_pruned_logits_differ_in_the_middle_alone_and_mass_sums_to_one() {
    let shape = shape(1, 2, 64);
    let tokens = Tokens::random(shape, 3, 500, 1);
    let dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, Dtype::F32).unwrap().into());
    let pruned =
        tokens.cache(&spec(shape, WINDOW, Dtype::F32, mask_with_counts(shape, &[20, 0], 1)));
    for head in 0..6 {
        let step =
            explain(&pruned, Some(&dense), 0, (head, 6), &tokens.q[0][head * 64..][..64]).unwrap();
        let exact = step.exact.as_ref().unwrap();
        for (position, (&pruned, &exact)) in
            step.pruned.logits.iter().zip(&exact.logits).enumerate()
        {
            match (16..368).contains(&position) {
                false => assert_eq!(pruned, exact),
                true if head < 3 => assert!(pruned.is_some() && pruned != exact),
                true => assert_eq!(pruned, None),
            }
        }
        for mass in [step.pruned.mass, exact.mass] {
            assert!((mass.sink + mass.middle + mass.recent - 1.0).abs() < 1e-12);
        }
        assert_eq!(step.pruned.mass.middle > 0.0, head < 3);
        let divergence = step.divergence().unwrap();
        assert!(if head < 3 {
            divergence > 0.0 && divergence.is_finite()
        } else {
            divergence == f64::INFINITY
        });
        // The weights give the attention output.
        let value = |position: usize| {
            pruned.head(0, head / 3).value(position).map_or(0.0, |value| f64::from(value[5]))
        };
        let output: f64 = step
            .pruned
            .weights
            .iter()
            .enumerate()
            .map(|(position, weight)| weight * value(position))
            .sum();
        assert!((output - f64::from(oracle(&pruned, 0, &tokens.q[0])[head * 64 + 5])).abs() < 1e-6);
    }
    let whole = explain(&dense, Some(&dense), 0, (0, 6), &tokens.q[0][..64]).unwrap();
    assert_eq!(whole.divergence(), Some(0.0));
}

#[test]
fn a_dense_cache_of_another_length_explains_nothing() {
    let shape = shape(1, 1, 32);
    let tokens = Tokens::random(shape, 1, 300, 2);
    let dense_spec = CacheSpec::dense(shape, WINDOW, Dtype::F32).unwrap().into();
    let pruned = tokens.cache(&spec(shape, WINDOW, Dtype::F32, mask_with_counts(shape, &[9], 2)));
    let q = &tokens.q[0];
    assert!(
        explain(&pruned, Some(&tokens.first(299).cache(&dense_spec)), 0, (0, 1), q)
            .unwrap_err()
            .to_string()
            .contains("299 tokens")
    );
    assert!(explain(&pruned, Some(&pruned), 0, (0, 1), q).is_err());
    assert!(explain(&pruned, None, 0, (0, 1), q).unwrap().divergence().is_none());
}

#[test]
fn live_importance_is_the_mean_magnitude_of_q_times_k_over_the_middle() {
    let shape = shape(1, 2, 48);
    let tokens = Tokens::random(shape, 3, 400, 3);
    let mask = mask_with_counts(shape, &[13, 48], 3);
    for dtype in Dtype::ALL {
        let cache = tokens.cache(&spec(shape, WINDOW, dtype, mask.clone()));
        let mut activity = vec![f32::NAN; 2 * 48];
        channel_activity(&cache, 0, &tokens.q[0], &mut activity);
        let middle = cache.head(0, 0).parts().middle;
        for (index, &found) in activity.iter().enumerate() {
            let (head, channel) = (index / 48, index % 48);
            let mean = |query: usize| {
                let q = tokens.q[0][(head * 3 + query) * 48 + channel];
                middle.clone().map(|t| (q * tokens.k[0][t * 96 + index]).abs()).sum::<f32>()
                    / middle.len() as f32
            };
            let expected =
                if mask.head(0, head)[channel] { (0..3).map(mean).sum::<f32>() / 3.0 } else { 0.0 };
            assert!(
                (found - expected).abs() <= 0.01 * expected,
                "{dtype}: {found} is not {expected}"
            );
        }
        let mut early = vec![f32::NAN; 2 * 48];
        channel_activity(&tokens.first(100).cache(cache.spec()), 0, &tokens.q[0], &mut early);
        assert_eq!(early, vec![0.0; 96]);
    }
}
