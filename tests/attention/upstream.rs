//! One test for each defect of the LeanK authors' cache and kernel that this code could have too.

use kscope::attention::{Attention, DecodeItem, SimdLevel};
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope_testing::error;
use kscope_testing::tokens::*;

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 32 };

#[test]
fn defect_1_a_batch_keeps_its_middle() {
    let shape = shape(1, 4, 64);
    let mask = mask_with_counts(shape, &[32, 64, 32, 16], 1);
    let tokens: Vec<Tokens> = (0..3).map(|seed| Tokens::random(shape, 3, 800, seed)).collect();
    let spec = spec(shape, WINDOW, Dtype::F32, mask);
    let caches: Vec<SequenceCache> = tokens.iter().map(|tokens| tokens.cache(&spec)).collect();
    let mut outs = vec![vec![0.0; 12 * 64]; 3];
    let mut items: Vec<DecodeItem<'_>> = (caches.iter().zip(&tokens).zip(&mut outs))
        .map(|((cache, tokens), out)| DecodeItem { cache, q: &tokens.q[0], out })
        .collect();
    Attention::new().decode(0, &mut items);
    for ((cache, tokens), out) in caches.iter().zip(&tokens).zip(&outs) {
        assert!(error(out, &oracle(cache, 0, &tokens.q[0])) < 1e-5);
        let nothing = ChannelMask::from_fn(shape, |_, _, _| false);
        assert!(
            error(out, &masked_softmax(tokens, WINDOW, Dtype::F32, &nothing, 0)) > 0.1,
            "the middle is missing"
        );
    }
}

#[test]
fn defect_2_a_larger_group_of_heads_after_a_smaller_one_is_whole() {
    // Qwen's layer 21: one head of 32 kept channels, three of 64; and eight heads in groups of 1, 2
    // and 5.
    for (kv_heads, counts) in [(4, vec![32, 64, 64, 64]), (8, vec![0, 32, 32, 96, 96, 96, 96, 96])]
    {
        let shape = shape(1, kv_heads, 128);
        let mask = mask_with_counts(shape, &counts, 2);
        check(&Tokens::random(shape, 4, 600, 2), &spec(shape, WINDOW, Dtype::F16, mask), 600);
    }
}

#[test]
fn defect_3_short_prompts_are_counted_once_and_as_long_as_they_are() {
    let shape = shape(2, 2, 64);
    let window = Window { sink: 128, recent: 768, chunk: 128 };
    let spec = spec(shape, window, Dtype::F16, mask_with_counts(shape, &[20], 3));
    for len in [1, 127, 128, 500, 767, 768, 800, 895, 896, 897, 1023, 1024] {
        let tokens = Tokens::random(shape, 3, len, 3);
        let cache = tokens.cache(&spec);
        assert_eq!(cache.tokens(), len);
        let parts = cache.head(1, 0).parts();
        assert_eq!(parts.sink.len() + parts.middle.len() + parts.recent.len(), len);
        check(&tokens, &spec, len);
    }
}

#[test]
fn defect_4_sequences_of_different_length_need_no_padding() {
    let shape = shape(1, 2, 64);
    let spec = spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[20, 0], 4));
    let (long, short) = (Tokens::random(shape, 3, 2000, 4), Tokens::random(shape, 3, 90, 5));
    let caches = [long.cache(&spec), short.cache(&spec)];
    let mut outs = [vec![0.0; 6 * 64], vec![0.0; 6 * 64]];
    let [first, second] = &mut outs;
    let mut items = [
        DecodeItem { cache: &caches[0], q: &long.q[0], out: first },
        DecodeItem { cache: &caches[1], q: &short.q[0], out: second },
    ];
    Attention::new().decode(0, &mut items);
    assert!(error(&outs[1], &masked_softmax(&short, WINDOW, Dtype::F16, spec.mask(), 0)) < 1e-5);
    assert!(error(&outs[0], &masked_softmax(&long, WINDOW, Dtype::F16, spec.mask(), 0)) < 1e-5);
}

#[test]
fn defect_5_statistics_are_f32_in_a_bf16_cache() {
    let shape = shape(1, 1, 128);
    let mut tokens = Tokens::random(shape, 4, 3000, 5);
    // Scores around 20, where a bf16 step would be 1/8.
    tokens.q[0].iter_mut().for_each(|q| *q *= 4.0);
    let cache = tokens.cache(&spec(shape, WINDOW, Dtype::Bf16, mask_with_counts(shape, &[40], 5)));
    for level in levels().into_iter().filter(|level| *level != SimdLevel::Avx512Bf16) {
        assert!(
            error(&attend(level, &cache, 0, &tokens.q[0]), &oracle(&cache, 0, &tokens.q[0])) < 1e-5,
            "{level}"
        );
    }
}

#[test]
fn defect_6_no_token_is_too_far_back() {
    // The authors' kernel does not read beyond 139,264 middle tokens. Here a key beyond them takes
    // all the attention.
    let (shape, len, far) = (shape(1, 1, 16), 145_000, 144_000);
    let mut tokens = Tokens::random(shape, 1, len, 6);
    tokens.q[0].fill(4.0);
    tokens.k[0].fill(0.0);
    tokens.k[0][far * 16..(far + 1) * 16].fill(8.0);
    let cache = tokens.cache(&spec(shape, WINDOW, Dtype::F32, mask_with_counts(shape, &[8], 6)));
    assert!(cache.head(0, 0).parts().middle.contains(&far));
    for level in levels() {
        assert!(
            error(&attend(level, &cache, 0, &tokens.q[0]), &tokens.v[0][far * 16..(far + 1) * 16])
                < 1e-5,
            "{level}"
        );
    }
}

#[test]
fn defect_7_the_length_is_right_after_chunks_moved_in_many_layers() {
    let shape = shape(5, 1, 32);
    let tokens = Tokens::random(shape, 1, 500, 7);
    let mut cache =
        SequenceCache::new(spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[8], 7)));
    for len in 1..=500 {
        tokens.extend(&mut cache, len - 1, len);
        assert_eq!(cache.tokens(), len);
        assert!((0..5).all(|layer| cache.len(layer) == len
            && cache.head(layer, 0).parts().middle.len() == WINDOW.middle(len)));
    }
}

// Defect 15 (factors in bf16) is about training. Defect 16 (a step that allocates and copies) is
// tested in its own process.

#[test]
fn defect_17_work_is_split_by_real_lengths() {
    // Just above a bucket of 4,096 middle tokens, and far from any bucket: each length is exact on
    // several threads.
    let shape = shape(1, 1, 32);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for len in [4096 + 144, 4096 + 145, 4096 + 176, 5000] {
        let tokens = Tokens::random(shape, 7, len, 17);
        pool.install(|| {
            check(
                &tokens,
                &spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[11], 17)),
                len,
            )
        });
    }
}

#[test]
fn defect_18_one_kernel_serves_every_layer_shape_and_length() {
    // Every layer keeps other counts, and the same cache grows across what would be the edge of a
    // bucket.
    let shape = shape(6, 2, 64);
    let mask = mask_with_counts(shape, &[0, 8, 16, 24, 31, 33, 40, 48, 56, 63, 64, 1], 18);
    let spec = spec(shape, Window { chunk: 128, ..WINDOW }, Dtype::F16, mask);
    let tokens = Tokens::random(shape, 3, 4400, 18);
    let mut cache = tokens.first(4000).cache(&spec);
    for len in (4000..4400).step_by(100) {
        tokens.extend(&mut cache, len, len + 100);
        for layer in 0..6 {
            let expected = oracle(&cache, layer, &tokens.q[layer]);
            assert!(
                error(&attend(SimdLevel::best(), &cache, layer, &tokens.q[layer]), &expected)
                    < 1e-3
            );
        }
    }
}

#[test]
fn memory_is_that_of_the_formula() {
    // The authors' end-to-end setting: 52 sequences of 4,223 tokens, dense Llama-3.1-8B, are
    // 26.8 GiB.
    let llama = shape(32, 8, 128);
    let dense = CacheSpec::dense(llama, WINDOW, Dtype::Bf16).unwrap();
    let gib = 52.0 * dense.bytes_at(4223).total() as f64 / f64::powi(2.0, 30);
    assert!((gib - 26.8).abs() < 0.05, "{gib} GiB");
}
