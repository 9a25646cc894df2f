//! A short summary of a session: for output that is not a terminal, and for users who quit with a
//! summary.

use serde_json::json;

use crate::decode::comparison::Mode;
use crate::numbers::{self, count, counted, nats, rate};
use crate::spread::p99_name;
use crate::tui::app::header::finish_words;
use crate::tui::app::pairs::{ComparedSide, weak_steps};
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;

/// The session as text.
pub fn text(state: &State) -> String {
    let Some(model) = &state.model else { return format!("{}: not loaded", state.loading_name) };
    let info = &model.info;
    let (run, stats) = (&state.run, &model.statistics);
    let mut lines = vec![format!(
        "{} · {} · {} layers, {} query heads on {} KV heads of {} channels · {} weights ({}), {} cache",
        info.name,
        info.device,
        info.shape.layers,
        info.heads,
        info.shape.kv_heads,
        info.shape.head_dim,
        info.dtype,
        numbers::bytes(info.weight_bytes),
        info.kv_dtype
    )];
    let window = info.window;
    lines.push(match &info.mask {
        Some(mask) if model.widths.is_some() => format!(
            "plan {}: {} of a dense f16 middle · K bits {} · V bits {} · sink {}, recent {}, chunk {}",
            mask.label,
            model.stored(true),
            model.plan().k_counts(),
            model.plan().v_counts(),
            count(window.sink),
            count(window.recent),
            count(window.chunk)
        ),
        Some(mask) => format!(
            "mask {}: keeps {} of {} channels ({:.1} %), {} of {} heads dropped · sink {}, recent {}, chunk {}",
            mask.label,
            count(stats.kept),
            count(info.shape.entries()),
            stats.kept_ratio * 100.0,
            count(stats.dropped_heads),
            count(info.shape.heads()),
            count(window.sink),
            count(window.recent),
            count(window.chunk)
        ),
        None => "no mask: dense decode".to_owned(),
    });
    if let (Some(started), Some(prefill)) = (&run.started, run.prefill_rate()) {
        lines.push(format!(
            "prefill {} tokens at {} · TTFT {:.1} ms",
            count(started.prompt_tokens),
            rate(prefill),
            started.ttft_ms
        ));
    }
    if let (Some(speed), Some(p50), Some(p99)) = (run.rate(), run.tpot(0.5), run.tpot(0.99)) {
        let attention = run
            .attention_share()
            .map(|share| format!(" · attention {:.1} % of a step", share * 100.0))
            .unwrap_or_default();
        lines.push(format!(
            "decode {} tokens, the last {} at {}{attention} · TPOT p50 {p50:.2} ms, {} {p99:.2} ms over {}",
            count(run.generated()),
            counted(run.recent_steps(), "step", "steps"),
            rate(speed),
            p99_name(run.own_steps().len()),
            counted(run.own_steps().len(), "step", "steps")
        ));
    }
    let divergence = run.pairs.divergence();
    if divergence.steps > 0 {
        // Times of both sides are comparable where each had the machine to itself.
        let alone = run.pairs.timed.as_ref().map_or_else(String::new, |timed| {
            format!(
                " · each alone: dense {:.2} ms, {} {:.2} ms a token",
                timed.a_ms.p50,
                if model.widths.is_some() { "planned" } else { "masked" },
                timed.b_ms.p50
            )
        });
        lines.push(format!(
            "against dense ({}): KLD {} ± {} nats over {} steps, same top token {:.1} %{}{alone}",
            match state.feed() {
                Mode::Forced => "both fed its tokens",
                Mode::Free => "each fed its own, up to the first difference",
            },
            nats(divergence.kld.mean),
            nats(divergence.kld.stderr),
            count(divergence.steps),
            divergence.top1_agreement * 100.0,
            weak_steps(state, divergence.steps)
                .map_or_else(String::new, |weak| format!(" ({weak})"))
        ));
    }
    let dense = model.bytes_at(run.cached).1.total();
    // There is no share of nothing.
    let fewer = (dense > 0)
        .then(|| format!(" ({:.1} % fewer)", 100.0 * (1.0 - run.kv.total() as f64 / dense as f64)));
    lines.push(format!(
        "KV cache of {} tokens: {} stored, {} dense{}",
        count(run.cached),
        numbers::bytes(run.kv.total() as u64),
        numbers::bytes(dense as u64),
        fewer.unwrap_or_default()
    ));
    lines.push(match &state.phase {
        Phase::Finished(finish) => format!("ended: {}", finish_words(*finish)),
        Phase::Failed(sentence) => format!("failed: {sentence}"),
        Phase::Paused => "left while paused".to_owned(),
        _ => "left while running".to_owned(),
    });
    lines.join("\n")
}

/// The session as one JSON object.
pub fn json(state: &State) -> serde_json::Value {
    let Some(model) = &state.model else { return json!({ "model": state.loading_name }) };
    let (info, run) = (&model.info, &state.run);
    let (_, dense) = model.bytes_at(run.cached);
    json!({
        "model": info.name,
        "device": info.device,
        "dtype": info.dtype,
        "weight_bytes": info.weight_bytes,
        "kv_dtype": info.kv_dtype,
        "shape": info.shape,
        "query_heads": info.heads,
        "mask": info.mask.as_ref().map(|mask| &mask.label),
        "mask_statistics": info.mask.as_ref().map(|_| &model.statistics),
        "window": info.window,
        "prompt_tokens": run.started.as_ref().map(|started| started.prompt_tokens),
        "prefill_ms": run.started.as_ref().map(|started| started.prefill_ms),
        "ttft_ms": run.started.as_ref().map(|started| started.ttft_ms),
        "generated_tokens": run.generated(),
        "text": run.pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(),
        "turns": run.turns,
        "tokens_per_s": run.rate(),
        "tpot_p50_ms": run.tpot(0.5),
        "tpot_p99_ms": run.tpot(0.99),
        "attention_share": run.attention_share(),
        "cached_tokens": run.cached,
        "kv_bytes": run.kv,
        "kv_bytes_dense": dense,
        "memory": run.memory,
        "divergence": (!run.pairs.is_empty()).then(|| run.pairs.divergence()),
        "dense_tpot_ms": run.pairs.times(ComparedSide::A).map(|times| times.p50),
        "alone": run.pairs.timed.as_ref().map(|timed| json!({
            "steps": timed.steps,
            "dense_ms": timed.a_ms.p50,
            "ms": timed.b_ms.p50,
        })),
        "finish": match &state.phase {
            Phase::Finished(finish) => json!(finish),
            Phase::Failed(sentence) => json!({ "failed": sentence }),
            _ => json!(null),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::color::ColorDepth;
    use crate::tui::testing::{SMALL, session};

    /// A recording that is cut before its first token once had 100.0 % fewer bytes than none.
    #[test]
    fn there_is_no_share_of_an_empty_cache() {
        let mut state = session(SMALL, ColorDepth::None);
        assert!(text(&state).contains(" % fewer)"), "{}", text(&state));
        state.run.cached = 0;
        state.run.kv = Default::default();
        let said = text(&state);
        let line = said.lines().find(|line| line.starts_with("KV cache of 0 tokens")).expect("it");
        assert!(line.ends_with("0 B stored, 0 B dense"), "{line}");
    }
}
