//! Decode steps that `kscope bench decode --json` measured, and the line that is fitted to them.

use std::path::Path;

use super::store::KvStore;
use crate::{Error, Result, input_file};

/// A row of the file; what else is in it is not needed.
#[derive(Debug, Clone, serde::Deserialize)]
struct MeasuredStep {
    model: String,
    device: String,
    kv_dtype: String,
    depth: usize,
    threads: usize,
    batch: usize,
    plan: String,
    median_ms: f64,
    kv_bytes: f64,
}

#[derive(serde::Deserialize)]
struct MeasuredFile {
    rows: Vec<MeasuredStep>,
    /// Of a GPU alone.
    #[serde(default)]
    gpu_steps: Option<MeasuredOnGpu>,
}

/// How a GPU's steps were made; older files say less.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct MeasuredOnGpu {
    memory_bytes: Option<u64>,
    without: LeftOut,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct LeftOut {
    logits: bool,
    attention: bool,
}

/// Time of a step: `fixed + per_sequence * (batch - 1) + per_byte * bytes of K/V of all sequences`,
/// in ms.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct StepLine {
    /// What a step of one sequence takes besides its cache: the weights, mostly.
    pub fixed_ms: f64,
    /// What every further sequence adds besides its cache; 0 where one batch was measured.
    pub per_sequence_ms: f64,
    /// What a gigabyte of K/V adds.
    pub per_gigabyte_ms: f64,
}

impl StepLine {
    fn at(&self, batch: usize, kv_bytes: f64) -> f64 {
        self.fixed_ms
            + self.per_sequence_ms * (batch.max(1) - 1) as f64
            + self.per_gigabyte_ms * kv_bytes / 1e9
    }

    /// The line with the least squared relative error; `None` where the rows do not determine one.
    fn fit(rows: &[&MeasuredStep]) -> Option<Self> {
        let batches = distinct(rows.iter().map(|row| row.batch));
        let columns = |row: &MeasuredStep| {
            let mut columns = vec![1.0, row.kv_bytes / 1e9];
            if batches > 1 {
                columns.push((row.batch - 1) as f64);
            }
            columns
        };
        let unknowns = if batches > 1 { 3 } else { 2 };
        let mut normal = vec![vec![0.0; unknowns + 1]; unknowns];
        for row in rows {
            let (columns, weight) = (columns(row), row.median_ms.powi(-2));
            for i in 0..unknowns {
                for j in 0..unknowns {
                    normal[i][j] += weight * columns[i] * columns[j];
                }
                normal[i][unknowns] += weight * columns[i] * row.median_ms;
            }
        }
        let found = solved(normal)?;
        Some(Self {
            fixed_ms: found[0],
            per_gigabyte_ms: found[1],
            per_sequence_ms: found.get(2).copied().unwrap_or(0.0),
        })
    }
}

/// Solves `[A | b]` by elimination; `None` where A is singular.
fn solved(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let best =
            (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, best);
        let pivot = rows[column][column];
        let scale = rows[column].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        if pivot.abs() <= 1e-12 * scale || !pivot.is_finite() {
            return None;
        }
        for row in 0..n {
            if row != column {
                let factor = rows[row][column] / pivot;
                let of_pivot = rows[column].clone();
                rows[row].iter_mut().zip(of_pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    Some((0..n).map(|i| rows[i][n] / rows[i][i]).collect())
}

/// One row for each plan, depth and batch: the fastest, because what else a machine does only adds
/// time.
fn fastest(rows: impl Iterator<Item = MeasuredStep>) -> Vec<MeasuredStep> {
    let mut kept: Vec<MeasuredStep> = Vec::new();
    for row in rows {
        let is_same = |other: &&mut MeasuredStep| {
            (&other.plan, other.depth, other.batch) == (&row.plan, row.depth, row.batch)
        };
        match kept.iter_mut().find(is_same) {
            Some(other) if other.median_ms > row.median_ms => *other = row,
            Some(_) => {}
            None => kept.push(row),
        }
    }
    kept
}

fn distinct(values: impl Iterator<Item = usize>) -> usize {
    values.collect::<std::collections::BTreeSet<_>>().len()
}

/// A measured step beside what the line says of it that is fitted to the other rows.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FitCheck {
    /// The plan's name in the file.
    pub plan: String,
    /// Tokens in the cache.
    pub ctx: usize,
    /// Sequences.
    pub batch: usize,
    /// What was measured.
    pub measured_ms: f64,
    /// What the line through the other rows gives.
    pub predicted_ms: f64,
    /// Predicted over measured, less 1.
    pub error: f64,
}

/// Steps of one model on one device, and the lines through them.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The files.
    pub origin: String,
    /// Where the steps ran.
    pub device: String,
    /// Threads of the rows that are used: those of the fastest.
    pub threads: usize,
    /// Bytes of the GPU's memory, where the steps ran on one and its file says so.
    pub memory_bytes: Option<u64>,
    /// The line of dense decode.
    pub dense: StepLine,
    rows: Vec<MeasuredStep>,
    /// Lines of the other plans that were measured at two depths or more.
    others: Vec<(String, StepLine)>,
}

const DENSE: &str = "dense";

/// Reads the results of `kscope bench decode --json`, one file or several of one model and device.
pub fn read_measured(paths: &[&Path], model: &str, kv_dtype: &str) -> Result<Calibration> {
    let origin = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let (mut rows, mut memory_bytes) = (Vec::new(), None);
    for path in paths {
        let text = input_file::read_json(path, input_file::MEASUREMENTS)?;
        let file: MeasuredFile = serde_json::from_str(&text).map_err(|cause| {
            Error::input(format!(
                "{}: expected the output of `kscope bench decode --json`, found {cause}",
                path.display()
            ))
        })?;
        let MeasuredOnGpu { memory_bytes: of_gpu, without } = file.gpu_steps.unwrap_or_default();
        if without.logits || without.attention {
            return Err(Error::input(format!(
                "{}: its steps left parts out (KSCOPE_CUDA_WITHOUT), so they say nothing of whole ones",
                path.display()
            )));
        }
        memory_bytes = memory_bytes.or(of_gpu);
        rows.extend(file.rows);
    }
    Ok(Calibration { memory_bytes, ..Calibration::of_rows(rows, origin, model, kv_dtype)? })
}

impl Calibration {
    fn of_rows(
        rows: Vec<MeasuredStep>,
        origin: String,
        model: &str,
        kv_dtype: &str,
    ) -> Result<Self> {
        let wrong = |what: String| Error::input(format!("{origin}: {what}"));
        let Some(first) = rows.first() else { return Err(wrong("there is no row".to_owned())) };
        let device = first.device.clone();
        for row in &rows {
            let of_model = row.model.strip_suffix(" (random weights)").unwrap_or(&row.model);
            if of_model != model && row.model != model {
                return Err(wrong(format!(
                    "it measured the model {}, and the plan is for {model}",
                    row.model
                )));
            }
            if row.device != device {
                return Err(wrong(format!("it mixes the devices {device} and {}", row.device)));
            }
            if row.kv_dtype != kv_dtype {
                return Err(wrong(format!(
                    "it measured a cache of {}, and the plan has one of {kv_dtype}: give --kv-dtype {}",
                    row.kv_dtype, row.kv_dtype
                )));
            }
            let is_sane = row.batch > 0
                && row.median_ms.is_finite()
                && row.median_ms > 0.0
                && row.kv_bytes.is_finite()
                && row.kv_bytes >= 0.0;
            if !is_sane {
                return Err(wrong(format!(
                    "a row has batch {}, {} ms and {} bytes of K/V",
                    row.batch, row.median_ms, row.kv_bytes
                )));
            }
        }
        let threads = rows
            .iter()
            .filter(|row| row.plan == DENSE)
            .max_by(|a, b| {
                (a.depth, -a.median_ms).partial_cmp(&(b.depth, -b.median_ms)).expect("finite")
            })
            .map_or(first.threads, |fastest| fastest.threads);
        let rows = fastest(rows.into_iter().filter(|row| row.threads == threads));
        let line = |plan: &str| {
            let own: Vec<&MeasuredStep> = rows.iter().filter(|row| row.plan == plan).collect();
            (distinct(own.iter().map(|row| row.depth)) >= 2).then(|| StepLine::fit(&own)).flatten()
        };
        let Some(dense) = line(DENSE) else {
            return Err(wrong(
                "a line needs dense steps at two depths at least (`kscope bench decode --depth 1024,8000`)"
                    .to_owned(),
            ));
        };
        if dense.per_gigabyte_ms <= 0.0 {
            return Err(wrong(
                "deeper dense steps are not slower in it, so time per byte cannot be told; measure again, with larger depths"
                    .to_owned(),
            ));
        }
        let mut names: Vec<String> = rows.iter().map(|row| row.plan.clone()).collect();
        names.sort();
        names.dedup();
        let others = names.into_iter().filter(|name| name != DENSE);
        let others = others
            .filter_map(|name| Some((line(&name).filter(|l| l.per_gigabyte_ms > 0.0)?, name)))
            .map(|(line, name)| (name, line))
            .collect();
        Ok(Self { origin, device, threads, memory_bytes: None, dense, rows, others })
    }

    /// The numbers of sequences that were measured, ascending.
    pub fn batches(&self) -> Vec<usize> {
        let all: std::collections::BTreeSet<usize> =
            self.rows.iter().map(|row| row.batch).collect();
        all.into_iter().collect()
    }

    /// The plan of the file that stores what `store` does: by its bytes at the largest depth.
    fn plan_of(&self, store: &KvStore) -> Option<&str> {
        let stores_alike = |row: &&MeasuredStep| {
            let (found, own) = (row.kv_bytes / row.batch as f64, store.bytes(row.depth) as f64);
            // The steps themselves have added a few tokens.
            own > 0.0 && (found / own - 1.0).abs() < 0.02
        };
        let deepest = self.rows.iter().map(|row| row.depth).max()?;
        let at_deepest = self.rows.iter().filter(|row| row.depth == deepest);
        at_deepest.filter(stores_alike).map(|row| row.plan.as_str()).next()
    }

    /// Milliseconds of a step, and whether they were measured as such rather than read off the
    /// line.
    pub fn step_ms(
        &self,
        store: &KvStore,
        is_dense: bool,
        ctx: usize,
        batch: usize,
    ) -> (f64, bool) {
        let plan = if is_dense { Some(DENSE) } else { self.plan_of(store) };
        let own = |row: &&MeasuredStep| {
            Some(row.plan.as_str()) == plan && row.depth == ctx && row.batch == batch
        };
        if let Some(row) = self.rows.iter().find(own) {
            return (row.median_ms, true);
        }
        let line = self.others.iter().find(|(name, _)| Some(name.as_str()) == plan);
        let line = line.map_or(&self.dense, |(_, line)| line);
        (line.at(batch, (store.bytes(ctx) as usize * batch) as f64), false)
    }

    /// Every measured step beside what the line through the other steps of its plan says. Plans
    /// with fewer than three depths have none.
    pub fn checks(&self) -> Vec<FitCheck> {
        let check = |row: &MeasuredStep| {
            let others = |other: &&MeasuredStep| {
                other.plan == row.plan && (other.depth, other.batch) != (row.depth, row.batch)
            };
            let others: Vec<&MeasuredStep> = self.rows.iter().filter(others).collect();
            if distinct(others.iter().map(|row| row.depth)) < 2 {
                return None;
            }
            let predicted = StepLine::fit(&others)?.at(row.batch, row.kv_bytes);
            Some(FitCheck {
                plan: row.plan.clone(),
                ctx: row.depth,
                batch: row.batch,
                measured_ms: row.median_ms,
                predicted_ms: predicted,
                error: predicted / row.median_ms - 1.0,
            })
        };
        self.rows.iter().filter_map(check).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Dtype;
    use crate::mask::Window;
    use crate::model::served::ServedModel;

    fn model() -> ServedModel {
        ServedModel::known("smollm2-135m").unwrap()
    }

    fn store(sparsity: f64) -> KvStore {
        KvStore::sparse(&model(), Dtype::F16, Window::default(), sparsity).unwrap()
    }

    /// Rows of a machine that takes exactly 9 ms, half a ms per further sequence, and 100 ms per
    /// gigabyte (120 where pruned).
    fn rows(batches: &[usize]) -> Vec<MeasuredStep> {
        let mut rows = Vec::new();
        for &batch in batches {
            for depth in [512, 2048, 4096, 8000] {
                for (plan, sparsity, slope) in [("dense", 0.0, 100.0), ("mask", 0.7, 120.0)] {
                    let kv_bytes = (store(sparsity).bytes(depth) * batch as u64) as f64;
                    let median_ms = 9.0 + 0.5 * (batch - 1) as f64 + slope * kv_bytes / 1e9;
                    rows.push(MeasuredStep {
                        model: "smollm2-135m".into(),
                        device: "cpu".into(),
                        kv_dtype: "f16".into(),
                        depth,
                        threads: 1,
                        batch,
                        plan: plan.into(),
                        median_ms,
                        kv_bytes,
                    });
                }
            }
        }
        rows
    }

    fn of(rows: Vec<MeasuredStep>) -> Result<Calibration> {
        Calibration::of_rows(rows, "bench.json".into(), "smollm2-135m", "f16")
    }

    #[test]
    fn a_line_is_found_again_and_tells_measured_from_fitted() {
        let fitted = of(rows(&[1, 4])).unwrap();
        let line = fitted.dense;
        assert!((line.fixed_ms - 9.0).abs() < 1e-6 && (line.per_gigabyte_ms - 100.0).abs() < 1e-6);
        assert!((line.per_sequence_ms - 0.5).abs() < 1e-6);
        let (ms, measured) = fitted.step_ms(&store(0.0), true, 2048, 1);
        assert!(measured && (ms - 9.0 - 0.1 * store(0.0).bytes(2048) as f64 / 1e6).abs() < 1e-6);
        let (ms, measured) = fitted.step_ms(&store(0.7), false, 6000, 2);
        let expected = 9.5 + 120.0 * 2.0 * store(0.7).bytes(6000) as f64 / 1e9;
        assert!(!measured && (ms - expected).abs() < 1e-6, "{ms} of {expected}");
        // A plan that was not measured takes the time per byte of dense decode.
        assert_eq!((fitted.batches(), of(rows(&[4])).unwrap().batches()), (vec![1, 4], vec![4]));
        let (ms, _) = fitted.step_ms(&store(0.3), false, 6000, 1);
        assert!((ms - 9.0 - 100.0 * store(0.3).bytes(6000) as f64 / 1e9).abs() < 1e-6);
        assert!(
            fitted.checks().len() == 16 && fitted.checks().iter().all(|c| c.error.abs() < 1e-6)
        );
    }

    #[test]
    fn of_a_gpu_the_memory_is_read_and_steps_that_left_parts_out_are_refused() {
        let step = |row: &MeasuredStep| {
            serde_json::json!({
                "model": row.model, "device": "cuda:0 (a GPU)", "kv_dtype": row.kv_dtype, "depth": row.depth,
                "threads": 1, "batch": row.batch, "plan": row.plan, "median_ms": row.median_ms,
                "kv_bytes": row.kv_bytes
            })
        };
        let read = |gpu_steps: serde_json::Value| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bench.json");
            let steps: Vec<_> = rows(&[1]).iter().map(step).collect();
            let file = serde_json::json!({ "rows": steps, "gpu_steps": gpu_steps });
            std::fs::write(&path, file.to_string()).unwrap();
            read_measured(&[&path], "smollm2-135m", "f16")
        };
        let whole =
            serde_json::json!({ "memory_bytes": 80u64 << 30, "without": { "logits": false } });
        assert_eq!(read(whole).unwrap().memory_bytes, Some(80 << 30));
        assert_eq!(read(serde_json::Value::Null).unwrap().memory_bytes, None);
        let less = serde_json::json!({ "without": { "logits": true, "attention": false } });
        let refused = read(less).unwrap_err().to_string();
        assert!(refused.contains("KSCOPE_CUDA_WITHOUT"), "{refused}");
    }

    #[test]
    fn of_a_setting_that_was_measured_twice_the_fastest_counts() {
        let mut twice = rows(&[1]);
        let slow =
            twice.iter().cloned().map(|row| MeasuredStep { median_ms: row.median_ms * 2.0, ..row });
        twice = slow.chain(rows(&[1])).collect();
        assert!((of(twice).unwrap().dense.fixed_ms - 9.0).abs() < 1e-6);
    }

    #[test]
    fn a_step_that_does_not_fit_the_others_is_seen() {
        let mut odd = rows(&[1]);
        odd[2].median_ms *= 1.5;
        let checks = of(odd).unwrap().checks();
        let worst = checks.iter().map(|check| check.error.abs()).fold(0.0, f64::max);
        assert!(worst > 0.2, "{worst}");
    }

    #[test]
    fn other_models_devices_and_nonsense_are_refused() {
        let changed = |change: fn(&mut MeasuredStep)| {
            let mut rows = rows(&[1]);
            change(&mut rows[3]);
            of(rows).unwrap_err().to_string()
        };
        for (sentence, part) in [
            (changed(|row| row.model = "llama".into()), "the model llama"),
            (changed(|row| row.device = "gpu".into()), "mixes the devices"),
            (changed(|row| row.kv_dtype = "f32".into()), "--kv-dtype f32"),
            (changed(|row| row.median_ms = -1.0), "-1 ms"),
            (of(Vec::new()).unwrap_err().to_string(), "no row"),
            (of(rows(&[1])[..2].to_vec()).unwrap_err().to_string(), "two depths"),
        ] {
            assert!(sentence.starts_with("bench.json: ") && sentence.contains(part), "{sentence}");
        }
        let mut flat = rows(&[1]);
        flat.iter_mut().for_each(|row| row.median_ms = 9.0 - row.kv_bytes / 1e9);
        assert!(of(flat).unwrap_err().to_string().contains("not slower"));
    }
}
