//! Every published number of the LeanK mask of Llama-3.1-8B-Instruct, computed from the authors'
//! own file.

use kscope::mask::files::{self, Split};
use kscope::mask::{ChannelMask, Statistics, StatisticsSetting, Window, bytes};

fn mask() -> Option<ChannelMask> {
    let file = files::read(&super::published_mask()?, &Split::default())
        .unwrap()
        .into_mask("llama")
        .unwrap();
    assert_eq!(
        (file.origin.window, file.origin.align),
        (Window { sink: 128, recent: 768, chunk: 128 }, 32)
    );
    Some(file.mask().clone())
}

fn statistics() -> Option<Statistics> {
    Some(Statistics::of(&mask()?, &StatisticsSetting { at: None, element_size: 2 }))
}

/// Equality to the digits that were published.
fn near(found: f64, published: f64, digits: i32) {
    let step = 10f64.powi(-digits);
    assert!(
        (found - published).abs() <= 0.5 * step + 1e-12,
        "found {found}, published {published}"
    );
}

#[test]
fn the_mask_has_the_published_hash_and_totals() {
    let Some(stats) = statistics() else { return };
    assert_eq!(stats.sha256, "472abfb693ddb9b838f33ad5a9be1418da1392fc407266b902515dd97cb27d7a");
    assert_eq!((stats.layers, stats.kv_heads, stats.head_dim), (32, 8, 128));
    assert_eq!((stats.kept, stats.kept_ratio), (10240, 0.3125));
    let histogram: Vec<_> = stats.kept_histogram.into_iter().collect();
    assert_eq!(histogram, [(0, 47), (32, 120), (64, 67), (96, 22)]);
    assert_eq!(stats.dropped_heads, 47);
    assert_eq!((stats.k_saving, stats.v_saving), (0.6875, 0.18359375));
    near(stats.kv_saving, 0.4355, 4);
    assert_eq!((stats.bytes_per_middle_token, stats.dense_bytes_per_token), (73984, 131_072));
    near(stats.attention_speed_bound.unwrap(), 1.77, 2);
}

#[test]
fn layers_keep_the_published_channels() {
    let Some(stats) = statistics() else { return };
    let kept = [
        192, 320, 288, 256, 288, 320, 224, 192, 256, 352, 320, 224, 160, 544, 448, 384, 512, 416,
        320, 288, 384, 192, 288, 320, 352, 320, 352, 352, 320, 256, 512, 288,
    ];
    let dropped = [
        2, 0, 2, 0, 1, 2, 2, 4, 3, 1, 2, 4, 4, 0, 0, 0, 0, 0, 1, 2, 1, 3, 3, 1, 2, 2, 1, 2, 0, 2,
        0, 0,
    ];
    assert_eq!(stats.kept_per_layer, kept);
    assert_eq!(stats.dropped_heads_per_layer, dropped);
}

#[test]
fn rotation_frequencies_and_pairs_are_the_published_ones() {
    let Some(stats) = statistics() else { return };
    let octaves = [0.044, 0.049, 0.126, 0.149, 0.396, 0.536, 0.607, 0.594];
    for (indices, published) in stats.frequency_shares.chunks(8).zip(octaves) {
        near(indices.iter().sum::<f64>() / 8.0, published, 3);
    }
    near(stats.frequency_shares_of_stored_heads[22], 0.44, 2);
    // Published as ".13" for both neighbours: .1316 and .1388.
    near(stats.frequency_shares_of_stored_heads[21], 0.132, 3);
    near(stats.frequency_shares_of_stored_heads[23], 0.139, 3);
    near(stats.slow_half_share, 0.853, 3);
    near(stats.pair_share, 0.770, 3);
    near(stats.pair_closed_ratio, 0.384, 3);
    near(stats.slowest_first_overlap, 0.772, 3);
    near(stats.random_overlap, 0.458, 3);
}

#[test]
fn the_cache_has_the_published_size_at_four_contexts() {
    let Some(mask) = mask() else { return };
    let table = [
        (4096, [0.463, 0.857, 0.660]),
        // The published V share, .837, is .83649 rounded twice.
        (8192, [0.388, 0.836, 0.612]),
        (32768, [0.331, 0.821, 0.576]),
        (131_072, [0.317, 0.818, 0.567]),
    ];
    for (tokens, [k, v, both]) in table {
        let (pruned, dense) = (
            bytes::pruned(&mask, Window::UPSTREAM, tokens, 2),
            bytes::dense(mask.shape(), tokens, 2),
        );
        near(pruned.k as f64 / dense.k as f64, k, 3);
        near(pruned.v as f64 / dense.v as f64, v, 3);
        near(pruned.total() as f64 / dense.total() as f64, both, 3);
        let savings = bytes::savings(&mask, Some((Window::UPSTREAM, tokens)));
        near(1.0 - savings.kv, both, 3);
    }
    let gib = |tokens: usize| {
        let size = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        (
            size(bytes::dense(mask.shape(), tokens, 2).total()),
            size(bytes::pruned(&mask, Window::UPSTREAM, tokens, 2).total()),
        )
    };
    for (tokens, dense, pruned) in [(4096, 0.5, 0.33), (32768, 4.0, 2.31), (131_072, 16.0, 9.08)] {
        near(gib(tokens).0, dense, 2);
        near(gib(tokens).1, pruned, 2);
    }
    // Section 3: 52 sequences of 4223 tokens, sink 6, recent 250.
    let window = Window { sink: 6, recent: 250, chunk: 128 };
    near(52.0 * bytes::pruned(&mask, window, 4223, 2).total() as f64 / f64::from(1 << 30), 16.2, 1);
}
