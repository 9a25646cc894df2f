//! The words on the screens, each with one meaning. The help lists them below the keys.

/// A word and what it means.
pub const WORDS: &[(&str, &str)] = &[
    ("A, B", "the two sides of a run: A decodes with the whole cache, B under the mask or plan"),
    (
        "align",
        "kept channels of a head come in multiples of this; the figure says how many that added or took",
    ),
    ("attention ≤2×", "how much faster attention can be at most, because it reads fewer bytes"),
    (
        "channel",
        "one of the numbers of a key; a mask keeps or drops it for all middle tokens of a head",
    ),
    ("compacted", "dropped channels take no memory; other tools only set them to zero"),
    ("dense", "decoding with the whole cache, nothing dropped"),
    ("dropped head", "a head that keeps no channel: its middle tokens store no K and no V"),
    ("fed", "the token that both sides read next; forced means that B reads the tokens of A"),
    ("half", "a rotation pair of which only one channel is kept"),
    (
        "importance",
        "how much a channel matters, by the rule that is named: learned, ThinK, key norm, frequency or random",
    ),
    (
        "KLD",
        "how far the next-token probabilities of B are from those of A, in nats; 0 is the same, above .1 is much",
    ),
    (
        "λ",
        "wavelength of a rotation pair in tokens: short ones tell near positions apart, long ones hold meaning",
    ),
    ("mask", "which K channels of every head are stored"),
    ("middle", "tokens between sink and recent; only they are pruned"),
    ("pair", "two channels that the rotary embedding turns together, i and i + half of the head"),
    ("parts", "the first token at which the texts of A and B differ"),
    ("plan", "how many bits each K channel and each head's V has: 16, 8, 4, 2 or 0"),
    ("recent", "the last tokens, which keep every channel"),
    ("saved (file)", "the mask as it was loaded, or as it was last written to a file"),
    ("saved (memory)", "bytes that the mask takes less than a dense cache"),
    ("same top", "share of steps at which A and B have the same likeliest token"),
    ("sink", "the first tokens, which keep every channel"),
    ("TPOT", "time per output token; p50 is the median, p99 the slowest hundredth"),
    ("TTFT", "time to first token: the prefill of the prompt and one step"),
];
