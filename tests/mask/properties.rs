//! Properties of any mask and any importance.

use kscope::mask::files::{self, Contents, Format, ImportanceFile, MaskFile, Origin, Split};
use kscope::mask::select::{ALIGNMENTS, Budget, ByteBudget, Options, Target};
use kscope::mask::{
    CachePlan, ChannelMask, Importance, Shape, Statistics, StatisticsSetting, Window, bytes,
    compare, keep_counts, select,
};
use proptest::prelude::*;

fn shape() -> impl Strategy<Value = Shape> {
    (1usize..4, 1usize..4, 1usize..41).prop_map(|(layers, kv_heads, head_dim)| Shape {
        layers,
        kv_heads,
        head_dim,
    })
}

/// Scores with many ties and zeros, or any finite ones.
fn importance_of(shape: Shape) -> impl Strategy<Value = Importance> {
    let tied = (0u8..9).prop_map(|eighths| f32::from(eighths) / 8.0);
    let any = any::<f32>().prop_filter("finite", |score| score.is_finite());
    let scores = prop_oneof![
        prop::collection::vec(tied, shape.entries()),
        prop::collection::vec(0.0f32..1.0, shape.entries()),
        prop::collection::vec(any, shape.entries()),
    ];
    scores.prop_map(move |scores| Importance::new(shape, scores).unwrap())
}

fn importance() -> impl Strategy<Value = Importance> {
    shape().prop_flat_map(importance_of)
}

fn mask() -> impl Strategy<Value = ChannelMask> {
    shape().prop_flat_map(|shape| {
        prop::collection::vec(any::<bool>(), shape.entries())
            .prop_map(move |kept| ChannelMask::new(shape, kept).unwrap())
    })
}

fn align() -> impl Strategy<Value = usize> {
    prop::sample::select(ALIGNMENTS.to_vec())
}

fn budget() -> impl Strategy<Value = Budget> {
    prop_oneof![Just(Budget::Global), Just(Budget::UpstreamTies), Just(Budget::Exact)]
}

fn subset(small: &ChannelMask, large: &ChannelMask) -> bool {
    small.bits().iter().zip(large.bits()).all(|(&small, &large)| !small || large)
}

fn origin() -> impl Strategy<Value = Origin> {
    (
        ".*",
        prop::option::of(any::<[u8; 32]>()),
        0usize..5000,
        0usize..5000,
        1usize..500,
        align(),
        ".*",
    )
        .prop_map(|(model, fingerprint, sink, recent, chunk, align, note)| Origin {
            model,
            fingerprint: fingerprint.map_or_else(String::new, |bytes| {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }),
            window: Window { sink, recent, chunk },
            align,
            recipe: serde_json::json!({ "note": note }),
        })
}

proptest! {
    #[test]
    fn our_own_format_returns_everything(
        importance in importance(), origin in origin(), sparsity in prop::option::of(0.0f64..=1.0), with in any::<bool>(),
    ) {
        let mask = select(&importance, &Options::new(0.5, 4)).unwrap();
        let file = MaskFile {
            plan: CachePlan::of_mask(&mask),
            importance: with.then(|| importance.clone()),
            sensitivity: None,
            target_sparsity: sparsity,
            origin: origin.clone(),
        };
        for contents in [Contents::Mask(file), Contents::Importance(ImportanceFile { importance, origin })] {
            let bytes = files::encode(&contents, Format::Safetensors, false).unwrap();
            prop_assert_eq!(files::parse(&bytes, "f", &Split::default()).unwrap(), contents);
        }
    }

    #[test]
    fn raw_formats_return_masks(mask in mask()) {
        let split = Split { kv_heads: Some(mask.shape().kv_heads), head_dim: None };
        let origin = Origin::upstream(serde_json::Value::Null);
        let contents = Contents::Mask(MaskFile {
            plan: CachePlan::of_mask(&mask),
            importance: None,
            sensitivity: None,
            target_sparsity: None,
            origin,
        });
        for format in [Format::Pth, Format::Npy, Format::Tsv] {
            let bytes = files::encode(&contents, format, false).unwrap();
            prop_assert_eq!(Format::of_content(&bytes), format);
            let read = files::parse(&bytes, "f", &split).unwrap().into_mask("f").unwrap();
            prop_assert_eq!(read.mask(), &mask);
        }
    }

    #[test]
    fn raw_formats_return_importance_to_the_bit(importance in importance()) {
        prop_assume!(importance.scores().iter().any(|&score| score != 0.0 && score != 1.0));
        let split = Split { kv_heads: Some(importance.shape().kv_heads), head_dim: None };
        let origin = Origin::upstream(serde_json::Value::Null);
        let contents = Contents::Importance(ImportanceFile { importance: importance.clone(), origin });
        for format in [Format::Pth, Format::Npy, Format::Tsv] {
            let read = files::parse(&files::encode(&contents, format, true).unwrap(), "f", &split).unwrap();
            let bits = |importance: &Importance| importance.scores().iter().map(|score| score.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(read.importance().unwrap()), bits(&importance));
        }
    }

    #[test]
    fn kept_counts_are_multiples_of_the_alignment_or_head_dim(
        importance in importance(), sparsity in 0.0f64..=1.0, align in align(), budget in budget(), pairs in any::<bool>(),
    ) {
        let dim = importance.shape().head_dim;
        let pair_closed = pairs && dim.is_multiple_of(2);
        let mask = select(&importance, &Options { budget, pair_closed, ..Options::new(sparsity, align) }).unwrap();
        for count in mask.kept_counts() {
            prop_assert!(count.is_multiple_of(align) || count == dim, "{count} of {dim}");
        }
        if pair_closed {
            prop_assert!(mask.bits().chunks(dim).all(|head| head[..dim / 2] == head[dim / 2..]));
        }
    }

    #[test]
    fn the_best_channels_of_a_head_are_kept(importance in importance(), sparsity in 0.0f64..=1.0, align in align(), budget in budget()) {
        let mask = select(&importance, &Options { budget, ..Options::new(sparsity, align) }).unwrap();
        let dim = importance.shape().head_dim;
        for (bits, scores) in mask.bits().chunks(dim).zip(importance.scores().chunks(dim)) {
            let split = |wanted: bool| bits.iter().zip(scores).filter(move |&(&kept, _)| kept == wanted).map(|(_, &score)| score);
            let worst_kept = split(true).fold(f32::INFINITY, f32::min);
            let best_pruned = split(false).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(worst_kept >= best_pruned);
        }
    }

    #[test]
    fn a_higher_sparsity_keeps_a_subset(
        importance in importance(), a in 0.0f64..=1.0, b in 0.0f64..=1.0, align in align(), budget in budget(),
    ) {
        let of = |sparsity| select(&importance, &Options { budget, ..Options::new(sparsity, align) }).unwrap();
        let (low, high) = (of(a.min(b)), of(a.max(b)));
        prop_assert!(high.total_kept() <= low.total_kept());
        // Where head_dim is not a multiple of the alignment, the exact total may need another mix
        // of heads, so only its size is monotone.
        if budget != Budget::Exact || importance.shape().head_dim.is_multiple_of(align) {
            prop_assert!(subset(&high, &low));
        }
    }

    #[test]
    fn the_exact_budget_is_the_largest_aligned_total_below_the_target(
        importance in importance(), sparsity in 0.0f64..=1.0, align in align(),
    ) {
        let shape = importance.shape();
        let mask = select(&importance, &Options { budget: Budget::Exact, ..Options::new(sparsity, align) }).unwrap();
        let target = ((1.0 - sparsity) * shape.entries() as f64).floor() as usize;
        // Totals that some choice of allowed counts can reach.
        let mut reachable = vec![false; shape.entries() + 1];
        reachable[0] = true;
        for _ in 0..shape.heads() {
            let before = std::mem::replace(&mut reachable, vec![false; shape.entries() + 1]);
            for count in (0..shape.head_dim).step_by(align).chain([shape.head_dim]) {
                for total in count..=shape.entries() {
                    reachable[total] |= before[total - count];
                }
            }
        }
        let best = (0..=target).rev().find(|&total| reachable[total]).unwrap();
        prop_assert_eq!(mask.total_kept(), best);
    }

    #[test]
    fn a_byte_budget_holds_whatever_the_rule(
        importance in importance(), tokens in 200usize..2000, share in 0.0f64..1.2, align in align(), budget in budget(),
    ) {
        let window = Window::default();
        let dense = bytes::dense(importance.shape(), tokens, 2).total();
        let fit = ByteBudget { bytes: (dense as f64 * share) as u64, tokens, window, element_size: 2 };
        let weigh = |mask: &ChannelMask| bytes::pruned(mask, window, tokens, 2).total();
        match select(&importance, &Options { target: Target::Bytes(fit), budget, ..Options::new(0.0, align) }) {
            Ok(mask) => prop_assert!(weigh(&mask) <= fit.bytes && mask.total_kept() > 0),
            // Either not even the emptiest mask fits, or it alone does.
            Err(error) => prop_assert!(
                weigh(&ChannelMask::from_fn(importance.shape(), |_, _, _| false)) > fit.bytes
                    || error.to_string().contains("only where every head is dropped")
            ),
        }
    }

    #[test]
    fn given_counts_are_kept(importance in importance(), seed in any::<u64>()) {
        let shape = importance.shape();
        let counts: Vec<usize> = (0..shape.heads()).map(|head| (seed >> (head % 32)) as usize % (shape.head_dim + 1)).collect();
        prop_assert_eq!(keep_counts(&importance, &counts).kept_counts(), counts);
    }

    #[test]
    fn statistics_agree_with_each_other(mask in mask(), tokens in 1usize..3000) {
        let setting = StatisticsSetting { at: Some((Window::default(), tokens)), element_size: 2 };
        let stats = Statistics::of(&mask, &setting);
        prop_assert_eq!(stats.kept_per_layer.iter().sum::<usize>(), stats.kept);
        prop_assert_eq!(stats.kept_histogram.iter().map(|(count, heads)| count * heads).sum::<usize>(), stats.kept);
        prop_assert_eq!(stats.kept_histogram.values().sum::<usize>(), mask.shape().heads());
        prop_assert_eq!(stats.kept_histogram[&0], stats.dropped_heads);
        prop_assert!(stats.kept_ratio <= stats.pair_closed_ratio && stats.pair_closed_ratio <= 1.0);
        prop_assert!((0.0..=1.0).contains(&stats.slowest_first_overlap));
        prop_assert!((stats.kv_saving - (stats.k_saving + stats.v_saving) / 2.0).abs() < 1e-12);
        prop_assert!(stats.k_saving >= stats.v_saving - 1e-12, "a dropped head saves both");
        let limit = Statistics::of(&mask, &StatisticsSetting { at: None, element_size: 2 });
        prop_assert!((limit.k_saving - (1.0 - limit.kept_ratio)).abs() < 1e-12);
        prop_assert!(stats.kv_saving <= limit.kv_saving + 1e-12, "the window saves nothing");
        let same = compare(&mask, &mask).unwrap().whole;
        prop_assert_eq!((same.jaccard, same.agreement, same.only_a + same.only_b), (1.0, 1.0, 0));
    }
}
