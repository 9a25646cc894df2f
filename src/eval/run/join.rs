//! Several runs of one model in one report: a run of recall and one of texts, say.

use super::header::{MaskHeader, RunHeader};
use super::record::Record;
use super::stream::Results;
use crate::error::shortened;
use crate::{Error, Result};

/// The results of several whole runs as if one had made them; each comes with its file's name.
///
/// # Errors
/// When they are of different models, caches, seeds or protocols, when a mask's name stands for
/// several masks, when two hold the same task, or when one is a part.
pub fn join(runs: Vec<(String, Results)>) -> Result<Results> {
    let mut runs = runs.into_iter();
    let Some((name, mut all)) = runs.next() else {
        return Err(Error::input("a report takes at least one folder of results"));
    };
    let is_alone = runs.len() == 0;
    if !is_alone {
        refuse_part(&name, &all.header)?;
    }
    for (name, run) in runs {
        refuse_part(&name, &run.header)?;
        check_same(&all.header, &run.header, &name)?;
        refuse_twice(&all, &run, &name)?;
        let header = &mut all.header;
        let before = header.jobs;
        header.jobs += run.header.jobs;
        header.command = format!("{}\n{}", header.command, run.header.command);
        header.dense_kv_bytes.extend(run.header.dense_kv_bytes);
        header.does_not_fit.extend(run.header.does_not_fit);
        header.haystack = header.haystack.take().or(run.header.haystack);
        for source in run.header.sources {
            if !header.sources.contains(&source) {
                header.sources.push(source);
            }
        }
        for mask in run.header.masks {
            join_mask(&mut header.masks, mask, &name)?;
        }
        let records = run.records.into_iter();
        all.records.extend(records.map(|mut record| {
            record.job += before;
            record
        }));
    }
    Ok(all)
}

fn refuse_part(name: &str, header: &RunHeader) -> Result<()> {
    match header.shard {
        None => Ok(()),
        Some(shard) => Err(Error::input(format!(
            "{name} is part {}/{} of a run: put the parts together with `kscope eval merge` first",
            shard.part, shard.of
        ))),
    }
}

fn check_same(all: &RunHeader, own: &RunHeader, name: &str) -> Result<()> {
    let settings = |header: &RunHeader| {
        [
            ("model", header.model.clone()),
            ("model_fingerprint", header.model_fingerprint.clone()),
            ("weights", header.weights.clone()),
            ("kv_dtype", header.kv_dtype.clone()),
            ("seed", header.seed.to_string()),
            ("protocol", format!("{:?}", header.protocol)),
            ("commit", header.commit.clone().unwrap_or_else(|| "unknown".to_owned())),
        ]
    };
    let pairs = settings(all).into_iter().zip(settings(own));
    match pairs.into_iter().find(|((_, first), (_, other))| first != other) {
        None => Ok(()),
        Some(((key, first), (_, other))) => Err(Error::input(format!(
            "{name} does not belong to the other results: expected `{key}` {}, found {}",
            shortened(&first),
            shortened(&other)
        ))),
    }
}

fn refuse_twice(all: &Results, run: &Results, name: &str) -> Result<()> {
    for record in &run.records {
        let key = (&record.suite, &record.task, &record.domain, record.ctx);
        let same = |other: &Record| (&other.suite, &other.task, &other.domain, other.ctx) == key;
        if all.records.iter().any(same) {
            return Err(Error::input(format!(
                "{name}: other results hold {} {} at {} tokens already",
                record.suite,
                shortened(&record.task),
                record.ctx
            )));
        }
    }
    Ok(())
}

fn join_mask(masks: &mut Vec<MaskHeader>, own: MaskHeader, name: &str) -> Result<()> {
    let Some(known) = masks.iter_mut().find(|known| known.name == own.name) else {
        masks.push(own);
        return Ok(());
    };
    if known.fingerprint != own.fingerprint || known.window != own.window {
        return Err(Error::input(format!(
            "{name}: {} is another mask or window than in the other results",
            shortened(&own.name)
        )));
    }
    known.kv_bytes.extend(own.kv_bytes);
    Ok(())
}
