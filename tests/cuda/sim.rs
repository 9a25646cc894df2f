//! The CUDA kernels with their Rust launch geometry and bookkeeping, without a GPU. The same kernel
//! sources run on the host simulator (kernels/sim) and are compared with the scalar oracle, in
//! several schedules and under sanitizers. Copies of the sources with one planted defect each show
//! that the simulator detects errors.

use std::process::Command;

use kscope::attention::cuda::{DecodeKernel, HEAD_DIMS, Kernel, MOST_GROUP};
use kscope::bench::verify::{
    Bits, BranchCase, Case, Norm, StepPart, Story, branch_cases, cases, compare_branches,
    compare_kernels as run,
};
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_sim::Schedule;
use proptest::prelude::*;

use crate::simulator::Simulator;

pub const SCHEDULES: [Schedule; 6] = [
    Schedule::Forward,
    Schedule::Backward,
    Schedule::Random(1),
    Schedule::Random(2),
    Schedule::Random(3),
    Schedule::Ahead,
];

/// Runs cases, alternating the schedules between launches, and prints how many there were and their
/// largest error.
fn run_all(what: &str, cases: &[Case]) {
    let (mut launches, mut compared, mut worst) = (0, 0, [0.0f64; 2]);
    for case in cases {
        let device = Simulator::new("kscope", &SCHEDULES);
        let outcome = run(&device, case).unwrap_or_else(|error| panic!("{error}"));
        launches += device.launches();
        compared += outcome.compared;
        let of = usize::from(case.dtype == Dtype::F16);
        worst[of] = worst[of].max(outcome.error);
    }
    assert!(launches > 0 && compared > 0, "{what}: nothing was compared");
    println!(
        "{what}: {} cases, {launches} launches, {compared} outputs compared; largest error bf16 {:.1e}, f16 {:.1e}",
        cases.len(),
        worst[0],
        worst[1]
    );
}

/// The cases of an element type. Under sanitizers, which are slow, two groups of each, others for the
/// other element type, and codes for two head sizes.
fn of(dtype: Dtype) -> Vec<Case> {
    let sanitized = std::env::var_os(kscope_sim::LIBRARY).is_some();
    let groups = if dtype == Dtype::F16 { [3, 13] } else { [1, 8] };
    let has_time = |case: &Case| {
        let is_usual = case.bits == Bits::Elements || [64, 128].contains(&case.head_dim);
        !sanitized || groups.contains(&case.group) && is_usual
    };
    cases().into_iter().filter(|case| case.dtype == dtype && has_time(case)).collect()
}

#[test]
fn cuda_sim_bf16_matches_the_oracle() {
    run_all("bf16", &of(Dtype::Bf16));
}

#[test]
fn cuda_sim_f16_matches_the_oracle() {
    run_all("f16", &of(Dtype::F16));
}

/// Norms, gates, the embedding, and rotation with the append, of every type and alignment.
#[test]
fn cuda_sim_the_rest_of_a_step_matches_plain_loops() {
    let cases = branch_cases();
    let (mut compared, mut worst) = (0, [0.0f64; 3]);
    for case in &cases {
        let device = Simulator::new("kscope", &SCHEDULES);
        let outcome = compare_branches(&device, case).unwrap_or_else(|error| panic!("{error}"));
        compared += outcome.compared;
        worst[case.to as usize] = worst[case.to as usize].max(outcome.error);
    }
    println!(
        "{} cases, {compared} numbers compared; largest error f32 {:.1e}, f16 {:.1e}, bf16 {:.1e}",
        cases.len(),
        worst[0],
        worst[1],
        worst[2]
    );
    for head_dim in HEAD_DIMS {
        for norm in [Norm::None, Norm::Head, Norm::Whole] {
            let is = |case: &&BranchCase| matches!(case.part, StepPart::Append { norm: of, .. } if of == norm && case.width == head_dim);
            assert!(cases.iter().any(|case| is(&case)), "{head_dim} {norm:?}");
        }
    }
}

#[test]
fn cuda_sim_cases_cover_the_shapes() {
    let cases = cases();
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for head_dim in HEAD_DIMS {
            for group in 1..=MOST_GROUP {
                assert!(cases.iter().any(
                    |case| (case.dtype, case.head_dim, case.group) == (dtype, head_dim, group)
                ));
            }
        }
    }
    assert!(
        cases.iter().any(|case| case.counts.iter().any(|count| count % 8 != 0)),
        "counts that are padded"
    );
    assert!(cases.iter().any(|case| case.counts.contains(&0)), "dropped heads");
    assert!(
        cases.iter().any(|case| case.prompts.iter().any(|&prompt| case.window.middle(prompt) == 0)),
        "empty middles"
    );
    assert!(
        cases.iter().any(|case| case.prompts.iter().any(|&prompt| prompt > 256)),
        "more than a slab"
    );
    for bits in [Bits::Eight, Bits::Mixed] {
        for head_dim in HEAD_DIMS {
            assert!(cases.iter().any(|case| (case.bits, case.head_dim) == (bits, head_dim)));
        }
    }
}

/// Every schedule makes the same error, to the bit.
pub fn assert_same_bits(error: impl Fn(&Simulator) -> f64) {
    let errors: Vec<f64> = SCHEDULES
        .iter()
        .chain(&[Schedule::Random(77), Schedule::Random(12345)])
        .map(|&schedule| error(&Simulator::new("kscope", &[schedule])))
        .collect();
    assert!(errors.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()), "{errors:?}");
}

#[test]
fn cuda_sim_every_schedule_gives_the_same_bits() {
    let case = Case { prompts: vec![90, 17], ..Case::new(64, 3, Dtype::Bf16) };
    assert_same_bits(|device| run(device, &case).unwrap().error);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuda_sim_random_geometry_matches_the_oracle(
        head_dim in prop::sample::select(HEAD_DIMS.to_vec()),
        group in 1..=MOST_GROUP,
        kv_heads in 1..3usize,
        dtype in prop::sample::select(vec![Dtype::Bf16, Dtype::F16]),
        (sink, recent, chunk) in (0..40usize, 0..60usize, 1..40usize),
        prompts in prop::collection::vec(1..300usize, 1..3),
        counts in prop::collection::vec(0.0..1.0f64, 3),
        steps in 1..4usize,
        story in prop::sample::select(vec![Story::Decode, Story::Retune, Story::Rewind(1)]),
        bits in prop::sample::select(vec![Bits::Elements, Bits::Eight, Bits::Mixed]),
        seed: u64,
    ) {
        // Whole tiles are coded.
        let chunk = if bits == Bits::Elements { chunk } else { chunk.next_multiple_of(16) };
        // A quarter of the heads is dropped, a quarter is whole, the rest is in between.
        let counts = counts.iter().map(|x| ((x * 2.0 - 0.5).clamp(0.0, 1.0) * head_dim as f64).round() as usize).collect();
        let case = Case { head_dim, group, kv_heads, dtype, window: Window { sink, recent, chunk }, prompts, counts, bits, steps, story, seed };
        let schedules = [Schedule::Random(seed), Schedule::Forward, Schedule::Backward];
        run(&Simulator::new("kscope", &schedules), &case).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

#[test]
fn cuda_sim_too_little_shared_memory_is_an_error() {
    for (head_dim, group) in HEAD_DIMS.into_iter().flat_map(|d| [(d, 2), (d, 11)]) {
        let mut device = Simulator::new("kscope", &[Schedule::Forward]);
        // The padding of the last row, 16 bytes (48 where the row is one of a query), is never
        // touched; the 16 bytes before it are.
        device.withheld = 32;
        // Long enough for every warp to use both of its stages.
        let case = Case {
            counts: vec![head_dim],
            prompts: vec![900],
            steps: 1,
            ..Case::new(head_dim, group, Dtype::Bf16)
        };
        let error = run(&device, &case).unwrap_err().to_string();
        let kernel = DecodeKernel::new(Dtype::Bf16, head_dim, group, false);
        let needed = Kernel::Decode(kernel).shared_bytes() - 32;
        assert!(error.contains(&format!("{needed} bytes of shared memory")), "{error}");
    }
}

/// Every planted defect is detected, as a named error or as a wrong result, by at least one
/// schedule.
#[test]
fn cuda_sim_planted_defects_are_caught() {
    let case = |counts: &[usize]| Case {
        counts: counts.to_vec(),
        prompts: vec![150, 37],
        ..Case::new(64, 3, Dtype::Bf16)
    };
    let base = [
        case(&[19, 64, 8]),
        Case { group: 11, ..case(&[19, 64, 8]) },
        Case { window: Window { sink: 3, recent: 0, chunk: 5 }, steps: 12, ..case(&[19, 64, 8]) },
        Case { window: Window { sink: 0, recent: 0, chunk: 1 }, steps: 3, ..case(&[24]) },
        Case {
            bits: Bits::Eight,
            window: Window { sink: 3, recent: 5, chunk: 64 },
            ..case(&[64, 19])
        },
        Case {
            bits: Bits::Mixed,
            window: Window { sink: 0, recent: 3, chunk: 48 },
            prompts: vec![280, 140],
            ..case(&[64, 40])
        },
    ];
    for case in &base {
        run(&Simulator::new("kscope", &SCHEDULES), case).unwrap();
    }
    // The kernels beside attention are compiled whole in every copy, but for one head size.
    let beside: Vec<BranchCase> = branch_cases()
        .into_iter()
        .filter(|case| !matches!(case.part, StepPart::Append { .. }) || case.width == 64)
        .collect();
    assert!(kscope_sim::DEFECTS.len() >= 44);
    for defect in kscope_sim::DEFECTS {
        let mut seen =
            SCHEDULES.iter().flat_map(|&schedule| base.iter().map(move |case| (schedule, case)));
        let found = seen
            .find_map(|(schedule, case)| run(&Simulator::new(defect, &[schedule]), case).err())
            .or_else(|| {
                let mut seen = SCHEDULES
                    .iter()
                    .flat_map(|&schedule| beside.iter().map(move |case| (schedule, case)));
                seen.find_map(|(schedule, case)| {
                    compare_branches(&Simulator::new(defect, &[schedule]), case).err()
                })
            });
        let error = found.unwrap_or_else(|| panic!("the defect {defect} is not seen"));
        println!("{defect}: {error}");
        let named = match *defect {
            "divergent_barrier" => Some("divergent __syncthreads"),
            "divergent_warp" => Some("divergent"),
            "short_mask" => Some("leaves out lanes"),
            _ => None,
        };
        assert!(named.is_none_or(|name| error.to_string().contains(name)), "{defect}: {error}");
    }
}

/// The cases again in their own process, with the kernels compiled under the address and
/// undefined-behaviour sanitizers.
#[test]
fn cuda_sim_under_sanitizers() {
    if std::env::var_os(kscope_sim::LIBRARY).is_some() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "sim::cuda_sim_bf16_matches_the_oracle",
            "sim::cuda_sim_f16_matches_the_oracle",
            "sim::cuda_sim_the_rest_of_a_step_matches_plain_loops",
            "prompts::cuda_sim_prompts_in_bf16_match_the_oracle",
            "prompts::cuda_sim_prompts_in_f16_match_the_oracle",
        ])
        .env(kscope_sim::LIBRARY, kscope_sim::SANITIZED)
        .env("LD_PRELOAD", kscope_sim::SANITIZER_RUNTIME)
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .env("RUST_TEST_THREADS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("5 passed"), "the sanitized run ran no test:\n{text}");
    println!("{text}");
}
