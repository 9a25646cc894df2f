//! The attention of prompts on the host simulator against the scalar oracle, and planted defects in
//! it.

use kscope::attention::cuda::{HEAD_DIMS, Kernel, MOST_GROUP, PrefillKernel};
use kscope::bench::verify::{PromptCase, compare_prompt as run, prompt_cases};
use kscope::element::Dtype;
use kscope_sim::Schedule;
use proptest::prelude::*;

use crate::sim::{SCHEDULES, assert_same_bits};
use crate::simulator::Simulator;

fn run_all(dtype: Dtype) {
    let (mut launches, mut compared, mut worst) = (0, 0, 0.0f64);
    // Under sanitizers, which are slow, each head size once, and the edges of lengths.
    let sanitized = std::env::var_os(kscope_sim::LIBRARY).is_some();
    let wanted = |case: &PromptCase| case.dtype == dtype && (!sanitized || case.group < 4);
    let cases: Vec<PromptCase> = prompt_cases().into_iter().filter(wanted).collect();
    for case in &cases {
        let device = Simulator::new("kscope", &SCHEDULES);
        let outcome = run(&device, case).unwrap_or_else(|error| panic!("{error}"));
        launches += device.launches();
        compared += outcome.compared;
        worst = worst.max(outcome.error);
    }
    println!(
        "{dtype}: {} prompts, {launches} launches, {compared} rows compared; largest error {worst:.1e}",
        cases.len()
    );
    assert!(cases.len() > 30 && launches > cases.len());
}

#[test]
fn cuda_sim_prompts_in_bf16_match_the_oracle() {
    run_all(Dtype::Bf16);
}

#[test]
fn cuda_sim_prompts_in_f16_match_the_oracle() {
    run_all(Dtype::F16);
}

#[test]
fn cuda_sim_every_schedule_gives_the_same_bits_of_a_prompt() {
    let case = PromptCase { parts: vec![70, 60], ..PromptCase::new(64, 3, Dtype::Bf16) };
    assert_same_bits(|device| run(device, &case).unwrap().error);
}

#[test]
fn cuda_sim_prompts_need_all_of_their_shared_memory() {
    for head_dim in HEAD_DIMS {
        let mut device = Simulator::new("kscope", &[Schedule::Forward]);
        // Only the padding of the last value, 16 bytes, is never touched.
        device.withheld = 32;
        let case = PromptCase { parts: vec![150], ..PromptCase::new(head_dim, 2, Dtype::Bf16) };
        let error = run(&device, &case).unwrap_err().to_string();
        let kernel = PrefillKernel { dtype: Dtype::Bf16, head_dim };
        let needed = Kernel::Prefill(kernel).shared_bytes() - 32;
        assert!(error.contains(&format!("{needed} bytes of shared memory")), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuda_sim_prompts_of_random_geometry_match_the_oracle(
        head_dim in prop::sample::select(HEAD_DIMS.to_vec()),
        group in 1..=MOST_GROUP,
        dtype in prop::sample::select(vec![Dtype::Bf16, Dtype::F16]),
        parts in prop::collection::vec(1..140usize, 1..4),
        window in prop::option::of(1..200usize),
        cap in prop::option::of(1.0..60.0f32),
        sharpness in 0.1..20.0f32,
        seed: u64,
    ) {
        // Wide groups have one KV head, so that a case takes no longer than others.
        let kv_heads = if group < 4 { 2 } else { 1 };
        let case = PromptCase { head_dim, group, kv_heads, dtype, parts, window, cap, sharpness, seed };
        let schedules = [Schedule::Random(seed), Schedule::Forward, Schedule::Backward];
        run(&Simulator::new("kscope", &schedules), &case).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

/// Every planted defect is detected by at least one schedule.
#[test]
fn cuda_sim_planted_defects_in_prompts_are_caught() {
    let case = |parts: &[usize]| PromptCase {
        parts: parts.to_vec(),
        ..PromptCase::new(64, 2, Dtype::Bf16)
    };
    let base = [
        case(&[70, 75]),
        PromptCase { window: Some(30), ..case(&[150]) },
        PromptCase { window: Some(80), ..case(&[150]) },
        PromptCase { cap: Some(2.0), ..case(&[40]) },
    ];
    for case in &base {
        run(&Simulator::new("kscope", &SCHEDULES), case).unwrap();
    }
    assert!(kscope_sim::PREFILL_DEFECTS.len() >= 25);
    for defect in kscope_sim::PREFILL_DEFECTS {
        let mut seen =
            SCHEDULES.iter().flat_map(|&schedule| base.iter().map(move |case| (schedule, case)));
        let found =
            seen.find_map(|(schedule, case)| run(&Simulator::new(defect, &[schedule]), case).err());
        let error = found.unwrap_or_else(|| panic!("the defect {defect} is not seen"));
        println!("{defect}: {error}");
    }
}
