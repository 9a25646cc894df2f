//! What `kscope learn` says at the end: the mask, its check against every rival, the verdict.

use serde_json::{Value, json};

use super::command::LearnArgs;
use crate::learn::check::CheckRow;
use crate::learn::run::{LearnMethod, Outcome};
use crate::mask::bytes;
use crate::numbers;

/// What `--json` prints.
pub(super) fn json(args: &LearnArgs, outcome: &Outcome) -> Value {
    json!({
        "verdict": outcome.verdict.as_ref().map(|verdict| verdict.word()),
        "reason": outcome.verdict.as_ref().map(|verdict| &verdict.reason),
        "method": args.method,
        "sparsity_target": args.sparsity,
        "sparsity": 1.0 - outcome.file.mask().kept_ratio(),
        "baked": args.baked,
        "baked_check": outcome.baked,
        "saved": (!args.baked).then(|| bytes::savings(outcome.file.mask(), None)),
        "steps": outcome.steps,
        "samples": outcome.samples,
        "seconds": outcome.seconds,
        "prefill_seconds": outcome.prefill_seconds,
        "check_seconds": outcome.check_seconds,
        "step_to_prefill": outcome.step_ratio,
        "peak_bytes": outcome.peak_bytes,
        "threads": rayon::current_num_threads(),
        "rows": outcome.rows,
        "costs": outcome.costs,
    })
}

/// What is printed without it.
pub(super) fn table(args: &LearnArgs, out: &str, outcome: &Outcome) -> String {
    let saved = bytes::savings(outcome.file.mask(), None);
    let percent = |share: f64| numbers::percent(share, 1);
    let pruned = percent(1.0 - outcome.file.mask().kept_ratio());
    let mut lines = vec![match args.baked {
        true => format!(
            "wrote {out}: prunes {pruned} of the channels in whole pairs, for every token; baked into weights it saves no memory"
        ),
        false => format!(
            "wrote {out}: prunes {pruned} of the channels; fewer bytes in long contexts: K {}, V {}, K+V {}",
            percent(saved.k),
            percent(saved.v),
            percent(saved.kv)
        ),
    }];
    let peak = numbers::bytes(outcome.peak_bytes);
    let (seconds, check) = (outcome.seconds, outcome.check_seconds);
    let pool = outcome.prefill_seconds;
    lines.push(match args.method {
        LearnMethod::Sensitivity => format!(
            "measured on {} in {pool:.0} s (check {check:.0} s); peak memory {peak}",
            numbers::counted(outcome.samples, "sample", "samples"),
        ),
        LearnMethod::Leank => format!(
            "{} updates in {seconds:.0} s (prefills {pool:.0} s, check {check:.0} s); an update costs {:.2} of its prefill; peak memory {peak}",
            outcome.steps, outcome.step_ratio,
        ),
    });
    if !outcome.rows.is_empty() {
        lines.push(
            "\n`learned` is this mask; rules answer two of a prompt's seven questions".to_owned(),
        );
        lines.push(format!(
            "{:<10} {:<8} {:>8} {:>14} {:>10} {:>9}  KLD per text",
            "rule", "counts", "sparsity", "recall", "digit NLL", "KLD"
        ));
    }
    lines.extend(outcome.rows.iter().map(row));
    if let Some((_, plain)) = outcome.costs.split_first() {
        lines.push("\nplain caches over the same texts and prompts".to_owned());
        lines.extend(plain.iter().map(|cost| format!("{:<10} {}", cost.name, cost.words())));
    }
    if let Some(baked) = &outcome.baked {
        lines.push(
            "\nthe mask above with a dense prefill; below in the weights, prefill included: each token of the same texts, and the same questions".to_owned(),
        );
        lines.push(row(baked));
    }
    match &outcome.verdict {
        Some(verdict) => lines.push(format!("\n{}: {}", verdict.word(), verdict.reason)),
        None => lines.push("no check was made, so there is no verdict".to_owned()),
    }
    lines.join("\n")
}

fn row(row: &CheckRow) -> String {
    let word = |value: serde_json::Result<Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let texts: Vec<String> = row
        .texts
        .iter()
        .map(|text| format!("{} {:.4}", text.text, text.divergence.kld.mean))
        .collect();
    format!(
        "{:<10} {:<8} {:>8.3} {:>6.1} % of {:<4} {:>9.3} {:>9.4}  {}",
        word(serde_json::to_value(row.rule)),
        word(serde_json::to_value(row.counts)),
        row.sparsity,
        row.recall * 100.0,
        row.asked,
        row.digit_nll,
        row.kld_mean,
        texts.join(", ")
    )
}
