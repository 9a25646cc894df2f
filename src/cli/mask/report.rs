//! The numbers of a mask or plan as text.

use super::colors::{Pen, Tone};
use crate::cli::output;
use crate::mask::{CachePlan, Statistics, Width, WidthStatistics, Window, bytes};
use crate::numbers::{self, count, percent};

/// How many channels are kept, and how the alignment changed the target.
pub(super) fn kept(
    stats: &Statistics,
    target_sparsity: Option<f64>,
    alignment_cost: Option<i64>,
) -> String {
    let entries = stats.layers * stats.kv_heads * stats.head_dim;
    let mut text = format!("{} of {} channels", count(stats.kept), count(entries));
    if let (Some(sparsity), Some(cost)) = (target_sparsity, alignment_cost) {
        text.push_str(&format!(
            "; target {}, alignment {cost:+} channels",
            percent(1.0 - sparsity, 2)
        ));
    }
    text
}

/// Says so where a mask or plan stores nothing of the middle.
pub(super) fn note_nothing(plan: &CachePlan) {
    if plan.mask().kept_ratio() == 0.0 {
        output::note(
            "kscope: every head is dropped: of the middle nothing is stored, neither K nor V; only sink and recent window remain",
        );
    }
}

/// What the report needs besides the numbers of the mask.
pub(super) struct Surroundings<'a> {
    pub(super) plan: &'a CachePlan,
    pub(super) widths: &'a WidthStatistics,
    pub(super) window: Window,
    pub(super) context: Option<usize>,
    pub(super) element_size: usize,
    pub(super) element_name: &'static str,
    pub(super) target_sparsity: Option<f64>,
    pub(super) alignment_cost: Option<i64>,
}

/// Writes the numbers, one topic per line.
pub(super) fn write(pen: &mut Pen, stats: &Statistics, around: &Surroundings<'_>) {
    let heads = stats.layers * stats.kv_heads;
    let mut row = |label: &str, value: &str, note: &str| {
        pen.put(Some(Tone::Faint), &format!("{label:<16}"));
        pen.put(Some(Tone::Strong), value);
        pen.put(None, &format!("  {note}"));
        pen.line();
    };
    let (label, is_mask) = match around.plan.is_mask() {
        true => ("kept", true),
        false => ("stored", false),
    };
    row(
        label,
        &percent(stats.kept_ratio, 2),
        &kept(stats, around.target_sparsity, around.alignment_cost),
    );
    if !is_mask {
        row("K bits", &around.widths.k_bits_histogram.to_string(), "channels");
        row("V bits", &around.widths.v_bits_histogram.to_string(), "heads");
        row(
            "bytes",
            &percent(around.widths.bytes_share, 2),
            "of a dense f16 cache in long contexts, scales included",
        );
    }
    let place = around.context.map_or_else(
        || "in long contexts".to_string(),
        |tokens| format!("at {} tokens", count(tokens)),
    );
    row(
        "fewer bytes",
        &format!(
            "K {}  V {}  K+V {}",
            percent(stats.k_saving, 2),
            percent(stats.v_saving, 2),
            percent(stats.kv_saving, 2)
        ),
        &place,
    );
    row(
        "middle token",
        &format!("{} B", count(stats.bytes_per_middle_token as usize)),
        &format!(
            "of {} B dense ({})",
            count(stats.dense_bytes_per_token as usize),
            around.element_name
        ),
    );
    let bound = stats
        .attention_speed_bound
        .map_or_else(|| "no middle to read".to_string(), |bound| format!("{bound:.2}×"));
    row("attention", &bound, &format!("at most, by the bytes it reads, {place}"));
    let dropped = format!("{} of {heads}", stats.dropped_heads);
    row("dropped heads", &dropped, "store neither keys nor values of the middle");
    let histogram: Vec<String> =
        stats.kept_histogram.iter().map(|(count, heads)| format!("{count}: {heads}")).collect();
    row(if is_mask { "heads by kept" } else { "heads by stored" }, &histogram.join(" · "), "");
    let partners = format!(
        "have their partner; {} would be kept if all had",
        percent(stats.pair_closed_ratio, 2)
    );
    row("pairs", &percent(stats.pair_share, 2), &partners);
    let slow = format!(
        "as slowest-first keeps at equal counts (random {})",
        percent(stats.random_overlap, 2)
    );
    row("slowest first", &percent(stats.slowest_first_overlap, 2), &slow);
    for tokens in contexts(around.context) {
        let pruned =
            bytes::planned(around.plan, around.window, tokens, around.element_size).total();
        let dense = bytes::dense(around.plan.shape(), tokens, around.element_size).total();
        let label = format!("cache at {}", context(tokens));
        row(
            &label,
            &numbers::bytes(pruned),
            &format!("of {} dense ({})", numbers::bytes(dense), around.element_name),
        );
    }
}

/// Writes the widths of every layer as a table.
pub(super) fn layers(pen: &mut Pen, widths: &WidthStatistics) {
    let head: String =
        Width::ALL.iter().rev().map(|width| format!("{:>7}", format!("K {width}"))).collect();
    pen.put(Some(Tone::Faint), &format!("layer{head}     bytes  bits of V"));
    pen.line();
    for (layer, widths) in widths.widths_per_layer.iter().enumerate() {
        pen.put(Some(Tone::Faint), &format!("{:<5}", format!("L{layer:02}")));
        for number in widths.k_bits_histogram.0.into_iter().rev() {
            pen.put(None, &format!("{:>7}", count(number)));
        }
        pen.put(Some(Tone::Strong), &format!("{:>10}", percent(widths.bytes_share, 2)));
        let of_v: Vec<String> = widths.v_bits.iter().map(u8::to_string).collect();
        pen.put(None, &format!("  {}", of_v.join(" ")));
        pen.line();
    }
}

/// The contexts whose cache size is shown: the one asked for, otherwise three common ones.
fn contexts(asked: Option<usize>) -> Vec<usize> {
    asked.map_or_else(|| vec![4 << 10, 32 << 10, 128 << 10], |tokens| vec![tokens])
}

fn context(tokens: usize) -> String {
    if tokens.is_multiple_of(1024) { format!("{}k", tokens / 1024) } else { count(tokens) }
}
