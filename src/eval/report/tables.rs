//! Tables as rows of cells, the head first: for terminals, Markdown and HTML.

use crate::eval::prompt::Protocol;
use crate::eval::run::{Average, Depths, Figures, Row};
use crate::numbers::{bytes, count, percent};

/// What was run, the command, and the control, one line each.
pub fn summary(figures: &Figures) -> Vec<String> {
    let (run, control) = (&figures.run, &figures.control);
    let what = format!(
        "{}: {}, seed {}, question {}, {} cache, {} of commit {}",
        run.model,
        results(figures),
        run.seed,
        match run.protocol {
            Protocol::After => "after the cut context",
            Protocol::Prompt => "in the prompt",
        },
        run.kv_dtype,
        run.tool,
        run.commit.as_deref().unwrap_or("unknown")
    );
    let control = format!(
        "control: dense against itself over {} answers and positions: {} answers differ, {} probabilities differ, largest KLD {}",
        count(control.n),
        control.differing_answers,
        control.differing_positions,
        control.largest_kld
    );
    let commands = run.command.lines().map(|command| format!("command: {command}"));
    let left_out = run.does_not_fit.iter().map(|why| format!("left out: {why}"));
    std::iter::once(what).chain(commands).chain([control]).chain(left_out).collect()
}

/// How many results there are, of how many, and of which part.
fn results(figures: &Figures) -> String {
    let (run, here) = (&figures.run, figures.results);
    let own = run.own_count();
    let counted = match here < own {
        true => format!("{} of {} results (not finished)", count(here), count(own)),
        false if own == 1 => "1 result".to_owned(),
        false => format!("{} results", count(own)),
    };
    match run.shard {
        Some(shard) => format!(
            "part {}/{} of a run of {} results, {counted}",
            shard.part,
            shard.of,
            count(run.jobs)
        ),
        None => counted,
    }
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// What each mask stores.
pub fn stored(figures: &Figures) -> Vec<Vec<String>> {
    let run = &figures.run;
    let mut rows = vec![head(&["mask", "bytes", "window", "fingerprint"])];
    for ctx in run.dense_kv_bytes.keys() {
        rows[0].push(format!("at {}", count(*ctx)));
    }
    let mut dense = head(&["dense", "100.0 %", "", ""]);
    dense.extend(run.dense_kv_bytes.values().map(|size| bytes(*size as u64)));
    rows.push(dense);
    for mask in &run.masks {
        let window = mask.window;
        let mut row = vec![
            mask.name.clone(),
            percent(mask.bytes_share, 1),
            format!("{}/{}/{}", window.sink, window.recent, window.chunk),
            mask.fingerprint.chars().take(12).collect(),
        ];
        row.extend(mask.kv_bytes.values().map(|size| bytes(*size as u64)));
        rows.push(row);
    }
    rows
}

/// Scores beside dense, one row for each task, length and mask.
pub fn scores(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut lines =
        vec![head(&["task", "ctx", "mask", "n", "score", "dense", "lost", "won", "p", ""])];
    for row in rows {
        let p = match row.interval {
            Some([low, high]) => format!("{:.3} [{low:+.1}, {high:+.1}]", row.p),
            None => format!("{:.3}", row.p),
        };
        lines.push(vec![
            row.task.clone(),
            count(row.ctx),
            row.mask.clone(),
            count(row.n),
            format!("{:.2}", row.score),
            format!("{:.2}", row.dense_score),
            row.lost.to_string(),
            row.won.to_string(),
            p,
            if row.informative { "" } else { "uninformative: dense fails" }.to_owned(),
        ]);
    }
    lines
}

/// Means over the tasks that dense can do.
pub fn means(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows = vec![head(&["mean over tasks", "ctx", "mask", "tasks", "score", "dense"])];
    for average in &figures.averages {
        let score =
            |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}"));
        rows.push(vec![
            average.suite.clone(),
            count(average.ctx),
            average.mask.clone(),
            average.tasks.len().to_string(),
            score(average.score),
            score(average.dense_score),
        ]);
    }
    rows
}

/// Which tasks the means are over, and which dense fails: a sentence for each suite and length.
pub fn of_means(figures: &Figures) -> Vec<String> {
    let named = |tasks: &[String]| match tasks {
        [] => "no task".to_owned(),
        tasks => tasks.join(", "),
    };
    let sentence = |average: &Average| {
        let left_out = match &average.left_out[..] {
            [] => String::new(),
            tasks => format!("; left out, since dense scores under 20 %: {}", tasks.join(", ")),
        };
        let Average { suite, ctx, tasks, .. } = average;
        format!("Mean of {suite} at {}: over {}{left_out}.", count(*ctx), named(tasks))
    };
    let mut sentences: Vec<String> = figures.averages.iter().map(sentence).collect();
    sentences.dedup();
    sentences
}

/// Scores by where the needle stands.
pub fn by_depth(depths: &[Depths]) -> Vec<Vec<String>> {
    let mut rows = vec![head(&[
        "score by depth",
        "ctx",
        "0-20 %",
        "20-40 %",
        "40-60 %",
        "60-80 %",
        "80-100 %",
    ])];
    for one in depths {
        let cell = |(n, score): (usize, f64)| match n {
            0 => "-".to_owned(),
            n => format!("{score:.1} (n {n})"),
        };
        let mut row = vec![one.mask.clone(), count(one.ctx)];
        row.extend(one.fifths.map(cell));
        rows.push(row);
    }
    rows
}

/// Losses on texts.
pub fn losses(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut lines = vec![head(&[
        "text",
        "ctx",
        "mask",
        "n",
        "PPL",
        "PPL base",
        "mean KLD",
        "±",
        "median",
        "99 %",
        "99.9 %",
        "max",
        "same top",
        "RMS Δp",
        "chunks worse / better (p)",
    ])];
    for row in rows {
        let kl = row.kl.as_ref().expect("only rows with one");
        lines.push(vec![
            row.task.clone(),
            count(row.ctx),
            row.mask.clone(),
            count(row.n),
            format!("{:.4}", kl.ppl.mean),
            format!("{:.4}", kl.ppl_base.mean),
            format!("{:.5}", kl.kld.mean),
            format!("{:.5}", kl.kld.error),
            format!("{:.5}", kl.kld_percentiles[4]),
            format!("{:.4}", kl.kld_percentiles[1]),
            format!("{:.4}", kl.kld_percentiles[0]),
            format!("{:.4}", kl.kld_range[0]),
            format!("{:.2} %", kl.same_top.mean),
            format!("{:.2} %", kl.rms_delta_p.mean),
            format!("{} / {} ({:.3})", row.lost, row.won, row.p),
        ]);
    }
    lines
}

/// Mean KLD in eighths of the scored half.
pub fn positions(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut first = head(&["mean KLD by position", "ctx", "mask"]);
    first.extend((1..=8).map(|part| format!("{part}/8")));
    let mut lines = vec![first];
    for row in rows {
        let mut line = vec![row.task.clone(), count(row.ctx), row.mask.clone()];
        line.extend(row.kld_by_position.iter().map(|kld| format!("{kld:.5}")));
        lines.push(line);
    }
    lines
}
