//! Plans of known models: published sizes, what fits, time, money, and what is refused.

use super::*;
use crate::capacity::{Assumptions, StoredMiddle, gpus_named};
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask};

/// Heads of the published Llama mask by kept channels, in the order of layers: the bytes do not
/// depend on which head has how many.
fn authors_plan() -> CachePlan {
    let shape = crate::mask::Shape { layers: 32, kv_heads: 8, head_dim: 128 };
    let kept = |head: usize| match head {
        0..47 => 0,
        47..167 => 32,
        167..234 => 64,
        _ => 96,
    };
    let mask = ChannelMask::from_fn(shape, |layer, head, channel| channel < kept(layer * 8 + head));
    CachePlan::of_mask(&mask)
}

fn request(name: &str, stored: StoredMiddle) -> CapacityRequest {
    CapacityRequest {
        model: ServedModel::known(name).unwrap(),
        dtype: Dtype::Bf16,
        stored,
        window: Window::default(),
        ctx: vec![4096, 32_768, 131_072],
        batch: vec![1, 16, 64],
        gpus: vec![gpus_named("h100-sxm", &[]).unwrap()],
        gpus_per_model: 1,
        assumptions: Assumptions::default(),
        calibration: None,
        load: None,
        project: None,
        date: date("2026-11-29").unwrap(),
    }
}

fn authors() -> StoredMiddle {
    StoredMiddle::Plan { name: "authors".into(), plan: authors_plan() }
}

const GIB: f64 = (1_u64 << 30) as f64;

#[test]
fn the_authors_table_has_their_sizes() {
    // Their benchmark: 52 sequences of 4,096 tokens in and 127 out; sink 6, recent 250, chunk 128.
    let request = CapacityRequest {
        window: Window { sink: 6, recent: 250, chunk: 128 },
        ctx: vec![4223],
        batch: vec![52],
        ..request("llama-3.1-8b", authors())
    };
    let row = plan(&request).unwrap().rows.remove(0);
    let gib = |bytes: u64| bytes as f64 / GIB;
    assert!((gib(row.kv_bytes_dense) - 26.8).abs() < 0.05, "{}", gib(row.kv_bytes_dense));
    assert!((gib(row.kv_bytes) - 16.2).abs() < 0.05, "{}", gib(row.kv_bytes));
    // Their own deployment window, at 32k and 128k of one sequence: 4.00 to 2.31, 16.0 to 9.08.
    let request = CapacityRequest {
        window: Window::UPSTREAM,
        ctx: vec![4096, 32_768, 131_072],
        batch: vec![1],
        ..request
    };
    for (row, [dense, stored]) in
        plan(&request).unwrap().rows.iter().zip([[0.5, 0.33], [4.0, 2.31], [16.0, 9.08]])
    {
        assert!((gib(row.kv_bytes_dense) - dense).abs() < 0.005, "{row:?}");
        assert!((gib(row.kv_bytes) - stored).abs() < 0.006, "{row:?}");
    }
}

#[test]
fn what_fits_is_told_by_both_limits_alike() {
    for name in ["llama-3.1-8b", "gemma-3-12b", "gpt-oss-20b"] {
        let request = request(name, StoredMiddle::Sparsity(0.7));
        for row in plan(&request).unwrap().rows {
            assert_eq!(row.fits, row.batch <= row.max_batch, "{row:?}");
            assert_eq!(row.fits, row.ctx <= row.max_ctx, "{row:?}");
            assert_eq!(row.fits_dense, row.ctx <= row.max_ctx_dense, "{row:?}");
            assert!(row.max_ctx >= row.max_ctx_dense && row.max_batch >= row.max_batch_dense);
            assert_eq!(
                (row.step_ms.is_some(), row.step_ms_dense.is_some()),
                (row.fits, row.fits_dense)
            );
            assert!(row.kv_bytes <= row.kv_allocated_bytes);
            assert!(row.kv_allocated_bytes <= row.kv_reserved_bytes);
        }
    }
}

#[test]
fn an_eight_billion_model_on_an_h100() {
    let rows = plan(&request("llama-3.1-8b", authors())).unwrap().rows;
    // 79.6 GiB less 1 GiB, 14.96 GiB of weights and some activations hold 15 sequences of 32k
    // tokens of 4 GiB each.
    assert_eq!(rows[1].max_batch_dense, 15);
    assert!((26..=28).contains(&rows[1].max_batch), "{}", rows[1].max_batch);
    // (15.0 GB + 17.2 GB of K/V) over 3,350 GB/s at 85 %.
    let step = rows[2].step_ms_dense.unwrap();
    let expected = (15.01e9 + 17.18e9) / (3350e9 * 0.85) * 1e3;
    assert!((step / expected - 1.0).abs() < 0.01, "{step} of {expected}");
    // $3.50 an hour: at that speed a million tokens take 1e6 * step.
    let usd = rows[2].usd_per_million_dense.unwrap();
    assert!((usd - 3.5 / 3600.0 * step * 1e3).abs() < 1e-9);
    assert_eq!(rows[2].label, Label::Estimated);
}

#[test]
fn the_crossover_is_where_the_bytes_meet() {
    let report = plan(&request("llama-3.1-8b", authors())).unwrap();
    // 15.0 GB of weights that a step reads over 128 KiB a token.
    assert!(report.crossover[0].dense.unwrap().abs_diff(114_500) < 500, "{:?}", report.crossover);
    assert!(report.crossover[1].dense.unwrap().abs_diff(7157) < 40, "{:?}", report.crossover);
    assert_eq!(report.crossover[0].stored, None, "beyond the model's context");
    assert!(report.crossover[1].stored > report.crossover[1].dense);
}

#[test]
fn time_and_limits_are_monotone() {
    for name in ["llama-3.1-8b", "gemma-3-27b", "qwen3-30b-a3b", "phi-4"] {
        let at = |sparsity| {
            let base = request(name, StoredMiddle::Sparsity(sparsity));
            let most = base.model.max_context;
            let ctx = [1024, 4096, 16_384, 32_768].into_iter().filter(|ctx| *ctx <= most).collect();
            let request = CapacityRequest { ctx, batch: vec![1, 2, 8, 64], ..base };
            plan(&request).unwrap().rows
        };
        let rows = at(0.5);
        for a in &rows {
            for b in rows.iter().filter(|b| b.ctx >= a.ctx && b.batch >= a.batch) {
                assert!(b.kv_bytes >= a.kv_bytes && (a.fits || !b.fits), "{a:?} {b:?}");
                if let (Some(a), Some(b)) = (a.step_ms, b.step_ms) {
                    assert!(b >= a);
                }
            }
        }
        for (less, more) in rows.iter().zip(at(0.8)) {
            assert!(more.kv_bytes <= less.kv_bytes && more.max_ctx >= less.max_ctx);
            assert!(more.max_batch >= less.max_batch);
            if let (Some(less), Some(more)) = (less.step_ms, more.step_ms) {
                assert!(more <= less);
            }
        }
    }
}

#[test]
fn plainer_caches_stand_beside_every_row() {
    let report = plan(&request("llama-3.1-8b", authors())).unwrap();
    assert_eq!(report.plainer.len(), 2 * report.rows.len());
    for (row, plain) in report.rows.iter().zip(report.plainer.chunks(2)) {
        assert_eq!(plain[0].kv_bytes * 64, row.kv_bytes_dense * 34);
        assert_eq!(plain[1].kv_bytes * 64, row.kv_bytes_dense * 18);
        assert!(plain[1].room.max_batch >= plain[0].room.max_batch);
    }
}

#[test]
fn a_load_is_served_by_whole_gpus_and_a_saving_pays_the_project_back() {
    let base = request("llama-3.1-8b", authors());
    let request = CapacityRequest {
        load: Some(Load { requests_per_day: 2e6, tokens_in: 30_000, tokens_out: 500 }),
        project: Some(Project { hours: 100.0, hourly_rate: 120.0 }),
        ..base
    };
    let report = plan(&request).unwrap();
    assert_eq!(report.serving.len(), 4);
    let [dense, stored] = [&report.serving[0], &report.serving[1]];
    assert_eq!(dense.batch, 16, "63.4 GiB hold 16 of 3.75 GiB");
    assert!(stored.batch > dense.batch && stored.gpus <= dense.gpus);
    // Decode and prefill of a request, twice the mean load, 70 % of the time.
    let prefill = 2.0 * 7.504e9 * 30_000.0 / (989e12 * 0.4);
    let busy =
        2e6 / 86_400.0 * 2.0 / 0.7 * (500.0 * dense.step_ms / 1e3 / dense.batch as f64 + prefill);
    assert!((dense.busy_gpus / busy - 1.0).abs() < 0.005, "{} of {busy}", dense.busy_gpus);
    assert_eq!(dense.gpus, dense.busy_gpus.ceil() as usize);
    assert_eq!(dense.usd_per_month, Some(dense.gpus as f64 * 3.5 * 730.0));
    let mid = &report.scenarios[1];
    assert_eq!((mid.gpus_dense, mid.gpus), (dense.gpus, stored.gpus));
    assert_eq!(mid.net[0], -12_000.0);
    let months = mid.payback_months.unwrap();
    assert!((months - 12_000.0 / mid.saving_per_month).abs() < 1e-9);
    assert!(mid.net[months.ceil() as usize] >= 0.0 && mid.net[months.floor() as usize] <= 0.0);
    // A load that one GPU serves either way saves nothing, and is never paid back.
    let small = Load { requests_per_day: 10.0, tokens_in: 1000, tokens_out: 100 };
    let report = plan(&CapacityRequest { load: Some(small), ..request }).unwrap();
    let mid = &report.scenarios[1];
    assert_eq!((mid.saving_per_month, mid.payback_months), (0.0, None));
}

#[test]
fn prices_that_are_old_or_of_the_future_say_so() {
    let on = |day: &str| {
        let base = request("llama-3.1-8b", StoredMiddle::Dense);
        plan(&CapacityRequest { date: date(day).unwrap(), ..base }).unwrap().warnings
    };
    assert_eq!(on("2026-11-29"), Vec::<String>::new());
    assert!(on("2027-03-01")[0].contains("112 days before this plan"), "{:?}", on("2027-03-01"));
    assert!(on("2026-10-01")[0].contains("older than the price"), "{:?}", on("2026-10-01"));
}

#[test]
fn contradictions_and_the_absurd_are_refused_with_the_reason() {
    let base = || request("llama-3.1-8b", StoredMiddle::Dense);
    let gpu = gpus_named("l4", &[]).unwrap();
    let load =
        |tokens_in, requests_per_day| Some(Load { requests_per_day, tokens_in, tokens_out: 100 });
    for (request, part) in [
        (CapacityRequest { ctx: vec![200_000], ..base() }, "more than the 131,072 tokens"),
        (CapacityRequest { ctx: vec![0], ..base() }, "at least 1, not 0"),
        (CapacityRequest { batch: vec![], ..base() }, "at least one batch"),
        (CapacityRequest { batch: vec![2_000_000], ..base() }, "a batch of 2,000,000"),
        (CapacityRequest { stored: StoredMiddle::Sparsity(1.5), ..base() }, "a sparsity is 0 to 1"),
        (CapacityRequest { gpus: vec![gpu.clone(), gpu], ..base() }, "l4 is given twice"),
        (CapacityRequest { gpus_per_model: 3, ..base() }, "cannot share the 8 KV heads"),
        (CapacityRequest { gpus_per_model: 64, ..base() }, "cannot share the 32 query heads"),
        (CapacityRequest { ctx: vec![4096, 1024, 4096], ..base() }, "context 4,096 is given twice"),
        (CapacityRequest { batch: vec![16, 16], ..base() }, "batch 16 is given twice"),
        (CapacityRequest { gpus_per_model: 0, ..base() }, "1 to 64 GPUs"),
        (CapacityRequest { load: load(131_000, 5.0), ..base() }, "longer than the model's context"),
        (CapacityRequest { load: load(100, f64::NAN), ..base() }, "requests a day, not NaN"),
        (
            CapacityRequest { project: Some(Project { hours: -1.0, hourly_rate: 1.0 }), ..base() },
            "not -1 at 1",
        ),
        (request("deepseek-v3", authors()), "multi-head latent attention"),
        (request("qwen3-0.6b", authors()), "a context of 131,072"),
    ] {
        let sentence = plan(&request).unwrap_err().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(gpus_named("h100", &[]).unwrap_err().to_string().contains("h100-sxm"));
}

#[test]
fn gpus_that_share_a_model_hold_a_part_of_it_each() {
    let shared = CapacityRequest {
        gpus_per_model: 4,
        ctx: vec![8192],
        batch: vec![1],
        ..request("llama-3.3-70b", StoredMiddle::Dense)
    };
    let row = plan(&shared).unwrap().rows.remove(0);
    assert!(row.fits_dense);
    let alone = CapacityRequest { gpus_per_model: 1, ..shared };
    let report = plan(&alone).unwrap();
    assert!(!report.rows[0].fits_dense && report.rows[0].max_ctx_dense == 0);
    assert!(
        report.warnings.iter().any(|w| w.contains("--gpus-per-model")),
        "{:?}",
        report.warnings
    );
}

#[test]
fn gpus_beyond_the_kv_heads_hold_them_again() {
    // Four KV heads: eight GPUs hold as much of each sequence as four.
    let by = |gpus_per_model| {
        let base = request("qwen3-30b-a3b", StoredMiddle::Dense);
        plan(&CapacityRequest { gpus_per_model, ctx: vec![40_960], batch: vec![64], ..base })
            .unwrap()
    };
    let (four, eight) = (by(4), by(8));
    let of_kv = |report: &CapacityReport| {
        let memory = &report.memory[0];
        memory.left() / report.rows[0].max_batch_dense as f64
    };
    assert!((of_kv(&four) / of_kv(&eight) - 1.0).abs() < 0.02);
    assert!(eight.warnings.iter().any(|w| w.contains("only 4 ways")), "{:?}", eight.warnings);
    assert!(four.warnings.is_empty(), "{:?}", four.warnings);
    // A latent is held by each, and read by each.
    let by = |gpus_per_model| {
        let gpus = vec![gpus_named("mi355x", &[]).unwrap()];
        let base = request("deepseek-v3", StoredMiddle::Dense);
        let request =
            CapacityRequest { gpus_per_model, gpus, ctx: vec![131_072], batch: vec![1], ..base };
        let gpu = &request.gpus[0];
        let dense = KvStore::dense(&request.model, request.dtype).unwrap();
        let ms = |ctx| request.step(gpu, &dense, true, ctx, 1).ms;
        ms(131_072) - ms(1)
    };
    assert!((by(4) / by(8) - 1.0).abs() < 1e-9, "{} of {}", by(4), by(8));
}

#[test]
fn a_window_that_holds_every_context_is_told() {
    let window = Window { sink: 16, recent: 200_000, chunk: 32 };
    let base = request("llama-3.1-8b", StoredMiddle::Sparsity(0.5));
    let report = plan(&CapacityRequest { window, ..base }).unwrap();
    assert_eq!(report.rows[0].kv_bytes, report.rows[0].kv_bytes_dense);
    assert!(report.warnings[0].contains("nothing is pruned"), "{:?}", report.warnings);
}

#[test]
fn a_mask_called_dense_is_not_taken_for_the_dense_cache() {
    let stored = StoredMiddle::Plan { name: "dense".into(), plan: authors_plan() };
    let load = Some(Load { requests_per_day: 2e6, tokens_in: 30_000, tokens_out: 500 });
    let report = plan(&CapacityRequest { load, ..request("llama-3.1-8b", stored) }).unwrap();
    assert_eq!(report.stored, "./dense");
    assert!(!report.is_dense && report.serving[1].batch > report.serving[0].batch);
}

#[test]
fn bytes_that_no_integer_holds_are_refused() {
    use crate::model::served::KvLayer;
    let mut request = request("llama-3.1-8b", StoredMiddle::Dense);
    request.batch = vec![1 << 20];
    assert!(plan(&request).is_ok(), "a petabyte is absurd, but counted");
    request.model.layers =
        vec![KvLayer::Heads { kv_heads: 1 << 26, head_dim: 1 << 20, window: None }; 8];
    let sentence = plan(&request).unwrap_err().to_string();
    assert!(sentence.contains("more bytes than any machine has"), "{sentence}");
    request.batch = vec![1];
    request.ctx = vec![1];
    assert!(plan(&request).is_err(), "the longest context is counted all the same");
}
