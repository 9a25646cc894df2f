//! Arguments and environment variables.

use crate::harness::{Case, Expected};

const LARGEST: &str = "18446744073709551615";

/// The arguments, separated by blanks.
fn line(line: &str) -> Case {
    let arguments: Vec<&str> = line.split(' ').collect();
    Case::new("arguments", line.chars().take(80).collect::<String>(), &arguments, |at| {
        let scores: String = "1\t2\t3\t4\n".repeat(2);
        std::fs::write(at.join("i.tsv"), scores).unwrap();
        std::fs::write(at.join("f"), "").unwrap();
    })
}

pub fn cases(cases: &mut Vec<Case>) {
    let run = "run --prompt a --max-new 1";
    for option in [
        "--sink 18446744073709551615",
        "--recent 4294967296",
        "--chunk 0",
        "--chunk -1",
        "--batch 0",
        "--batch 1000000000",
        "--batch 1000000000000",
        "--batch 9223372036854775808",
        "--threads 0",
        "--threads 1025",
        "--threads 100000",
        "--threads 9223372036854775808",
        "--ctx 0",
        "--ctx 99999999",
        "--ctx 1",
        "--temperature NaN",
        "--temperature -1",
        "--temperature inf",
        "--top-p 0",
        "--top-p 2",
        "--top-p NaN",
        "--min-p -1",
        "--min-p 2",
        "--repeat-penalty 0",
        "--repeat-penalty NaN",
        "--repeat-penalty -1",
        "--top-k -1",
        "--seed -1",
        "--seed 18446744073709551616",
        "--kv-dtype q4",
        "--dtype x",
        "--device tpu",
        "--device cuda:99",
        "--mask nope",
        "--mask",
        "--plan nope",
        "--force-ids 99999",
        "--prefill-chunk 0",
        "--max-new -1",
        "--magic",
        "--model nope",
        "--model org/name",
        "--model /dev/null",
        "--random-weights nope",
        "--layers 1",
        "extra",
    ] {
        cases.push(line(&format!("{run} {option}")));
    }
    let sweep = "sweep --prompt a --importance i.tsv --sparsity";
    for range in [
        "0..0.9:1e-9",
        "0..0.9:1e-300",
        "0..0.9:NaN",
        "0..2:0.1",
        "0.9..0:0.1",
        "x",
        "",
        "0..0.9:0",
    ] {
        cases.push(line(&format!("{sweep} {range}")));
    }
    cases.push(line(&format!("sweep --prompt a --importance i.tsv --steps {LARGEST}")));
    cases.push(line("sweep --prompt a --importance i.tsv --align 3"));
    let learn = "learn --method leank --out o.safetensors";
    for option in [
        "--steps 0",
        "--steps 18446744073709551615",
        "--lr 0",
        "--lr NaN",
        "--lr -1",
        "--reg NaN",
        "--pool 0",
        "--pool 1000000000000",
        "--pool 18446744073709551615",
        "--pool 18446744073709551608",
        "--ctx 64..99999999",
        "--ctx 0..1",
        "--ctx 2048..512",
        "--ctx x",
        "--sink 4294967295",
        "--recent 4294967295",
        "--sink 18446744073709551615",
        "--chunk 0",
        "--align 3",
        "--sparsity 0",
        "--sparsity 1",
        "--sparsity NaN",
        "--sparsity -0.5",
        "--accumulate 0",
        "--resume nope",
        "--resume f",
        "--importance nope",
        "--importance i.tsv",
        "--haystack nope",
        "--tasks magic",
        "--check-prompts -1",
    ] {
        cases.push(line(&format!("{learn} {option}")));
    }
    for option in [
        "--method magic",
        "--method",
        "--windows 0",
        "--windows -1",
        "--windows 18446744073709551615",
        "--sparsity 1",
        "--ctx 64..100",
        "--steps 9",
        "--importance i.tsv",
        "--method leank --windows 3",
    ] {
        cases.push(line(&format!("learn --out o.safetensors {option}")));
    }
    for other in [
        "learn --out o.txt",
        "learn",
        "mask magic",
        "mask show",
        "mask show nope",
        "mask import i.tsv o.safetensors",
        "mask import i.tsv o.safetensors --kv-heads 0",
        "mask import i.tsv o.safetensors --kv-heads 3",
        "mask import i.tsv o.safetensors --head-dim 0",
        "mask import i.tsv o.safetensors --kv-heads 18446744073709551615",
        "mask make o.safetensors --importance i.tsv --kv-heads 2 --sparsity 2",
        "mask make o.safetensors --importance i.tsv --kv-heads 2 --sparsity NaN",
        "mask make o.safetensors --importance i.tsv --kv-heads 2 --sparsity 0.5 --align 3",
        "mask make o.safetensors --importance i.tsv --kv-heads 2 --fit 1GiB",
        "mask make o.safetensors --importance i.tsv --kv-heads 2 --fit 0@1k",
        "mask make o.safetensors --importance nope --sparsity 0.5",
        "mask diff nope nope",
        "mask validate --model demo nope",
        "mask export nope o.npy",
        "score --rule magic --out o.safetensors",
        "score --rule key-norm --out o.safetensors",
        "score --rule random",
        "eval",
        "eval --mask nope",
        "eval --plan k8v8 --shard 5/2",
        "eval --plan k8v8 --shard x",
        "eval --plan k8v8 --samples 18446744073709551615",
        "eval --plan k8v8 --ctx 0",
        "eval score --metric match_all nope",
        "report nope --md o.md",
        "report nope",
        "plan --model nope",
        "plan --model llama-3.1-8b --batch 0",
        "plan --model llama-3.1-8b --ctx 0",
        "plan --model llama-3.1-8b --price -1",
        "plan --model llama-3.1-8b --price NaN",
        "plan --model llama-3.1-8b --hourly-rate NaN",
        "plan --model llama-3.1-8b --gpus-per-model 0",
        "plan --model llama-3.1-8b --weight-bits 0",
        "plan --model llama-3.1-8b --assume x=y",
        "plan --model llama-3.1-8b --sparsity 2",
        "bench tui --rounds 0",
        "bench decode --bench-threads 0",
        "bench decode --bench-threads 100000",
        "bench attention --threads 100000",
        "bench attention --tokens 0",
        "bench decode --steps 0",
        "replay",
        "replay nope",
        "replay f",
        "man f",
        "completions magic",
        "fetch nope",
        "model show --model nope",
        "magic",
        "--magic",
        "--color mud --plain",
        "--plain --max-new 1 --record r.jsonl --mask nope",
        "--plain --max-new 1 --record nope/r.jsonl",
        "--plain --max-new 1 --sensitivity nope",
    ] {
        cases.push(line(other));
    }
    cases.push(line("--plain --max-new 1 --diff nope").naming("--diff nope"));
    let long = "x".repeat(5000);
    cases.push(line(&format!("run --prompt a --model {long}")));
    cases.push(line(&format!(
        "mask make {long}.safetensors --importance i.tsv --kv-heads 2 --sparsity 0.5"
    )));
    cases.push(line(&format!("run --{long}")));
    cases.push(line("run --prompt a --model \u{1b}]0;pwn\u{7}"));
    cases.push(line("run --prompt a --\u{1b}[2J"));
    cases.push(line("run --prompt a --mask \u{202e}x"));
    let threads = line(run).with("RAYON_NUM_THREADS", "100000");
    cases.push(threads.naming("RAYON_NUM_THREADS"));
    // Rayon takes no notice of what is no number, and neither does the program.
    cases.push(line(run).with("RAYON_NUM_THREADS", "x").expecting(Expected::Accepted));
}
