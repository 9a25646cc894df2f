//! The words on the screens, each with one meaning. The help lists them below the keys.

use crate::mask::Rule;
use crate::tui::app::table::Metric;
use crate::tui::screen::eval::state::EvalField;
use crate::tui::screen::learn::form::Field;
use crate::tui::screen::plan::state::Knob;
use crate::tui::screen::text::settings::SETTINGS;
use crate::tui::screen::tune::state::Control;

/// A word and what it means.
pub type GlossaryWord = (String, String);

/// All words, in order: those below, and every control, field, setting, rule and metric with what it
/// says of itself. A word that means different things on two screens has its screen behind it.
pub fn words() -> Vec<GlossaryWord> {
    let own = WORDS.iter().map(|&(word, meaning)| ("", word.to_owned(), meaning));
    let controls = Control::ALL.into_iter().filter(|control| !control.is_of_layer());
    let controls = controls.map(|control| ("Tune", control.name(0), control.about()));
    let learn = Field::ALL.map(|field| ("Learn", field.name().to_owned(), field.about()));
    let eval = EvalField::ALL.map(|field| ("Eval", field.name().to_owned(), field.about()));
    let plan = Knob::ALL.map(|knob| ("Plan", knob.name().to_owned(), knob.about()));
    let text = SETTINGS.map(|setting| ("Text", setting.name().to_owned(), setting.about()));
    // Rows and commands have the short name.
    let named = |rule: Rule| match rule.words == rule.name {
        true => rule.words.to_owned(),
        false => format!("{}, {}", rule.words, rule.name),
    };
    let rules = Rule::ALL.map(|rule| ("rule", named(rule), rule.about));
    let metrics = Metric::ALL.into_iter().filter(|metric| {
        // The others are rules, or words of their own.
        *metric == Metric::Live
    });
    let metrics = metrics.map(|metric| ("Map", metric.name().to_owned(), metric.unit()));
    let rest =
        controls.chain(learn).chain(eval).chain(plan).chain(text).chain(rules).chain(metrics);
    let all: Vec<(&str, String, &str)> = own.chain(rest).collect();
    let word = |(place, word, meaning): &(&str, String, &str)| {
        let others = all.iter().filter(|(_, other, _)| other == word).count();
        let shown = match others {
            2.. if !place.is_empty() => format!("{word} ({place})"),
            _ => word.clone(),
        };
        (shown, (*meaning).to_owned())
    };
    let mut words: Vec<GlossaryWord> = all.iter().map(word).collect();
    words.sort_by_key(|(word, _)| word.to_lowercase());
    words
}

/// The words that no table has.
const WORDS: &[(&str, &str)] = &[
    ("A, B", "the two sides of a run: A decodes with the whole cache, B under the mask or plan"),
    ("allocator", "memory that the cache has allocated, by the allocator's own count"),
    ("attention ≤2×", "how much faster attention can be at most, because it reads fewer bytes"),
    ("baseline", "the row of the bench that others are compared with"),
    ("blocks", "what allocating in blocks adds to the bytes of the elements"),
    ("bound", "how much faster attention can be at most, because it reads fewer bytes"),
    (
        "ceiling",
        "tokens a second if a step only read its bytes, as fast as this machine reads memory; there is none where they stay in the processor's caches",
    ),
    (
        "channel",
        "one of the numbers of a key; a mask keeps or drops it for all middle tokens of a head",
    ),
    ("compacted", "dropped channels take no memory; other tools only set them to zero"),
    (
        "crossover",
        "the context from which on a decode step reads more of the cache than of the weights",
    ),
    ("ctx", "tokens in the cache, of those that the session has room for"),
    ("Δ KLD", "mean KLD of a row less that of the baseline"),
    (
        "Δ log p",
        "log-probability that B gives to the token that was said, less the one that A gives: below 0, B finds it less likely",
    ),
    ("Δ saved", "what is set less what is saved"),
    ("dense", "decoding with the whole cache, nothing dropped"),
    ("dropped head", "a head that keeps no channel: its middle tokens store no K and no V"),
    ("fed", "the token that both sides read next; forced means that B reads the tokens of A"),
    ("fewer bytes", "what the whole cache takes less than a dense one of the same tokens"),
    ("formula", "bytes of the elements that the cache stores, computed"),
    ("greedy", "temperature 0: the likeliest token is taken every time"),
    ("half", "a rotation pair of which only one channel is kept"),
    (
        "held to",
        "most tokens a second that are decoded, so that they can be read; the speed beside it is that of a step",
    ),
    (
        "importance",
        "how much a channel matters, by the rule that is named: learned, ThinK, key norm, frequency or random",
    ),
    ("K middle, V middle", "bytes of keys and of values of the middle tokens"),
    (
        "KLD",
        "how far the next-token probabilities of B are from those of A, in nats; 0 is the same, above .1 is much",
    ),
    (
        "λ",
        "wavelength of a rotation pair in tokens: short ones tell near positions apart, long ones hold meaning",
    ),
    ("live q², live k²", "mean squares of a channel in this run: of queries, and of stored keys"),
    (
        "loops",
        "the text ends in copies of the same tokens, at least three; the same few steps again and again, so losses over them say little of other text",
    ),
    (
        "machine",
        "how fast this machine reads memory: the best measurement, again where steps were faster",
    ),
    (
        "kept only here",
        "channels that what is set keeps and what is saved does not; only saved is the other way round",
    ),
    (
        "likeliest",
        "the tokens with the highest probabilities; one of another rank on the other side has a colour of its own",
    ),
    ("locked", "a head that no setting changes: it stays as it was when it was locked (■)"),
    ("mask", "which K channels of every head are stored"),
    (
        "max, p99, 99.9 %",
        "the largest value; the one that 99 %, or 99.9 %, are not above, shown from 100 or 1,000 values on",
    ),
    ("median, p50", "half of the values are below it"),
    (
        "middle logits ±",
        "root of the mean squared change of the attention logits of the step's middle tokens under the mask or plan",
    ),
    ("middle", "tokens between sink and recent; only they are pruned"),
    ("pair", "two channels that the rotary embedding turns together, i and i + half of the head"),
    (
        "of middle, of cache",
        "stored bytes as a share of dense's: of the middle tokens alone (f16), or of the whole cache with sink and recent",
    ),
    ("parts", "the first token at which the texts of A and B differ"),
    ("plan", "how many bits each K channel and each head's V has: 16, 8, 4, 2 or 0"),
    ("±, ± stderr", "standard error of the mean over the steps"),
    (
        "projections",
        "time of a step in the matrices of attention and MLP: q, k, v, the attention's output, gates",
    ),
    ("reached", "how fast a step reads its bytes, of what the machine reads from memory"),
    ("reads", "bytes of weights and cache that a step reads once"),
    ("recall", "share of the facts asked for on the Eval screen that were said"),
    ("resident", "memory of the whole process"),
    ("RMS Δp", "root of the mean squared difference of the probabilities of what was said"),
    ("saved", "the mask or plan as it was loaded, or as it was last written to a file"),
    ("same top", "share of steps at which A and B have the same likeliest token"),
    ("sink+recent", "bytes of the first and last tokens, which keep every channel"),
    (
        "× dense, time / dense",
        "time of a step over that of a dense step made right before or after it; ± is the 95 % interval of the median",
    ),
    (
        "≈",
        "not told apart: the 95 % interval of the difference of two masks' KLD, step by step, holds 0, or that of a ratio of times holds 1",
    ),
    ("stale", "figures of the mask before; those of the one that is set are on their way"),
    ("TPOT", "time per output token"),
    ("TTFT", "time to first token: the prefill of the prompt and one step"),
    ("tuned", "a mask or plan that was changed by hand or in Tune and has no name of its own yet"),
    (
        "unseen",
        "a token of the middle that the masked head does not see, because the mask drops the head",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain words that mean here what they mean everywhere.
    const PLAIN: [&str; 7] = ["name", "K", "V", "ms", "bytes", "median", "rule"];

    #[test]
    fn every_term_of_a_table_a_title_or_a_label_is_explained() {
        let words = words();
        let is_explained = |term: &str| {
            let fits = |part: &str| part == term || part.starts_with(&format!("{term} ("));
            PLAIN.contains(&term) || words.iter().any(|(word, _)| word.split(", ").any(fits))
        };
        let bench = crate::tui::screen::bench::titles();
        let of_tables = (Metric::ALL.map(Metric::name).into_iter())
            .chain(Rule::ALL.map(|rule| rule.words))
            .chain(bench);
        let labels = [
            "floor",
            "blend",
            "crossover",
            "reach",
            "live q²",
            "live k²",
            "weight",
            "sink+recent",
            "Δ log p",
            "pool",
            "top-p",
            "99.9 %",
            "max",
            "p99",
            "p50",
            "formula",
            "ceiling",
            "saved",
            "Δ saved",
            "allocator",
            "blocks",
            "resident",
            "bound",
            "reads",
            "machine",
            "TPOT",
            "TTFT",
            "K middle",
            "V middle",
            "RMS Δp",
            "same top",
            "fed",
            "parts",
            "λ",
            "unseen",
            "± stderr",
            "middle logits ±",
            "greedy",
            "held to",
            "loops",
            "reached",
            "of middle",
            "of cache",
            "≈",
            "locked",
            "projections",
            "kept only here",
            "tuned",
            "stale",
            "likeliest",
            // As rows of the bench and commands of the palette have them.
            "key-norm",
            "think",
        ];
        for term in of_tables.chain(labels) {
            assert!(is_explained(term), "{term}");
        }
    }

    #[test]
    fn every_word_stands_once_with_one_meaning() {
        let words = words();
        for (at, (word, meaning)) in words.iter().enumerate() {
            assert!(
                !meaning.is_empty() && words[at + 1..].iter().all(|(other, _)| other != word),
                "{word}"
            );
        }
    }
}
