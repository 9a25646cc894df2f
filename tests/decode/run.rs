//! The output of `kscope run`: the JSON object, texts, ids, log-probabilities.

use kscope::decode::session::Request;
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_testing::models::*;
use kscope_testing::{kscope, vectors};
use serde_json::Value;

fn run(arguments: &[&str]) -> std::process::Output {
    let output = kscope().arg("run").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn report(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("standard output is one JSON object")
}

fn floats(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

#[test]
fn the_json_object_has_every_field_that_was_promised() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let found =
        report(&["--model", model, "--prompt", "the tide", "--max-new", "5", "--prompt-logprobs"]);
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        (&found["model"], &found["device"], &found["dtype"]),
        (&name.into(), &"cpu".into(), &"f32".into())
    );
    let prompt_tokens = found["prompt_tokens"].as_u64().unwrap() as usize;
    assert!(prompt_tokens > 5, "the chat template is around the prompt");
    let tokens = ids(&found["tokens"]);
    assert!((1..=5).contains(&tokens.len()));
    let text = load(folder.path(), None).tokenizer.as_ref().unwrap().decode(&tokens).unwrap();
    assert_eq!(found["text"], text);
    assert_eq!(floats(&found["logprobs"]).len(), tokens.len());
    assert!(floats(&found["logprobs"]).iter().all(|&logprob| logprob < 0.0));
    let prompt_logprobs = found["prompt_logprobs"].as_array().unwrap();
    assert_eq!(prompt_logprobs.len(), prompt_tokens);
    assert!(
        prompt_logprobs[0].is_null()
            && prompt_logprobs[1..].iter().all(|logprob| logprob.as_f64().unwrap() < 0.0)
    );
    for time in ["prefill_ms", "ttft_ms", "tpot_ms", "tokens_per_s"] {
        assert!(found[time].as_f64().unwrap() > 0.0, "{time}");
    }
    // Nothing comes before the prompt is read.
    assert!(found["ttft_ms"].as_f64() >= found["prefill_ms"].as_f64(), "{found}");
    // Two layers of three KV heads of 16 channels, K and V, two bytes each; the last token is not
    // in the cache.
    let bytes = (prompt_tokens + tokens.len() - 1) * 2 * 3 * 16 * 2 * 2;
    assert_eq!((&found["kv_bytes"], &found["kv_bytes_dense"]), (&bytes.into(), &bytes.into()));
    assert_eq!((&found["kv_dtype"], &found["mask"]), (&"f16".into(), &Value::Null));
    assert!(
        report(&["--model", model, "--prompt", "x", "--max-new", "1"])
            .get("prompt_logprobs")
            .is_none(),
        "only on request"
    );
}

#[test]
fn a_run_of_one_token_has_no_speed_and_says_so_with_null() {
    let folder = tiny_folder("llama");
    let found =
        report(&["--model", folder.path().to_str().unwrap(), "--token-ids", "5", "--max-new", "1"]);
    assert_eq!((&found["tpot_ms"], &found["tokens_per_s"]), (&Value::Null, &Value::Null));
    assert_eq!(ids(&found["tokens"]).len(), 1);
}

#[test]
fn greedy_ids_and_their_log_probabilities_equal_transformers_through_the_program() {
    let folder = tiny_folder("qwen2-yarn-type");
    let file = Vectors::open(&vectors().join("tiny/qwen2-yarn-type/vectors.safetensors"));
    let list: Vec<String> = file.ids("prompt").iter().map(u32::to_string).collect();
    let list = list.join(",");
    let model = folder.path().to_str().unwrap();
    let found =
        report(&["--model", model, "--token-ids", &list, "--max-new", "16", "--kv-dtype", "f32"]);
    assert_eq!((&found["prompt_tokens"], ids(&found["tokens"])), (&200.into(), file.ids("greedy")));
    let rows = file.rows("logits").pop().into_iter().chain(file.rows("decode_logits"));
    for ((row, token), logprob) in rows.zip(file.ids("greedy")).zip(floats(&found["logprobs"])) {
        let expected = kscope::decode::sampler::logprob(&row, token);
        assert!((expected - logprob).abs() < 1e-3, "{logprob}, expected {expected}");
    }
}

#[test]
fn forced_ids_report_what_prefill_reports_of_the_same_tokens() {
    let folder = tiny_folder("llama3");
    let model = folder.path().to_str().unwrap();
    let prompt = ["--model", model, "--kv-dtype", "f32", "--token-ids"];
    let whole = report(
        &[&prompt[..], &["1,9,8,7,6,5,2,10", "--max-new", "0", "--prompt-logprobs"]].concat(),
    );
    let fed = report(&[&prompt[..], &["1,9,8", "--force-ids", "7,6,5,2,10"]].concat());
    assert_eq!((ids(&whole["tokens"]), ids(&fed["tokens"])), (vec![], vec![7, 6, 5, 2, 10]));
    let whole: Vec<f32> = whole["prompt_logprobs"].as_array().unwrap()[3..]
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect();
    assert_eq!(whole.len(), 5);
    for (fed, whole) in floats(&fed["logprobs"]).iter().zip(whole) {
        assert!((fed - whole).abs() < 1e-4, "{fed} and {whole}");
    }
}

#[test]
fn prompts_come_from_argument_file_and_standard_input_alike() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, "the tide is 12").unwrap();
    let common = ["--model", model, "--max-new", "8", "--raw"];
    let expected = run(&[&common[..], &["--prompt", "the tide is 12"]].concat()).stdout;
    assert!(expected.len() > 1);
    assert_eq!(
        run(&[&common[..], &["--prompt-file", file.to_str().unwrap()]].concat()).stdout,
        expected
    );
    for extra in [&[][..], &["--prompt-file", "-"]] {
        let mut command = kscope();
        command.arg("run").args(common).args(extra).write_stdin("the tide is 12");
        assert_eq!(command.output().unwrap().stdout, expected);
    }
    let chat = run(&["--model", model, "--max-new", "8", "--prompt", "the tide is 12"]).stdout;
    assert_ne!(chat, expected, "without --raw the template is around the prompt");
}

#[test]
fn text_goes_to_standard_output_without_end_tokens_and_figures_to_standard_error() {
    let folder = tiny_folder("llama3");
    let arguments = [
        "--model",
        folder.path().to_str().unwrap(),
        "--token-ids",
        "9,8,7",
        "--max-new",
        "60",
        "--temperature",
        "3",
    ];
    let ended = (0..20)
        .map(|seed| format!("--seed={seed}"))
        .find(|seed| report(&[&arguments[..], &[seed.as_str()]].concat())["finish"] == "end_token");
    let seed = ended.expect("one of 20 seeds draws an end token");
    let json = report(&[&arguments[..], &[seed.as_str()]].concat());
    let output = run(&[&arguments[..], &[seed.as_str()]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.strip_suffix('\n').unwrap(), json["text"].as_str().unwrap());
    assert!([2, 3, 4].contains(ids(&json["tokens"]).last().unwrap()) && !text.contains("</s>"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("prompt 3 tokens"));
}

#[test]
fn a_batch_reports_every_sequence_and_equals_the_session() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let arguments = [
        "--model",
        model,
        "--raw",
        "--prompt",
        "the tide",
        "--prompt",
        "then",
        "--batch",
        "2",
        "--max-new",
        "6",
    ];
    let found = report(&[&arguments[..], &["--temperature", "1", "--seed", "5"]].concat());
    let sequences = found["sequences"].as_array().unwrap();
    assert_eq!((sequences.len(), &sequences[0]["tokens"]), (4, &found["tokens"]));
    let model = load(folder.path(), None);
    let encode = |text| model.tokenizer.as_ref().unwrap().encode(text).unwrap();
    let prompts = ["the tide", "the tide", "then", "then"].map(encode).to_vec();
    let mut request = Request { prompts, ..greedy(&model, Vec::new(), 6) };
    (request.sampling.temperature, request.sampling.seed) = (1.0, 5);
    let session =
        kscope_testing::models::run(&model, &dense(&model, Window::default(), Dtype::F16), request)
            .unwrap();
    for (found, expected) in sequences.iter().zip(session.sequences()) {
        assert_eq!(ids(&found["tokens"]), expected.generated());
        assert_eq!(floats(&found["logprobs"]), expected.logprobs);
    }
}

#[test]
fn a_wrong_element_type_is_named_for_what_it_is() {
    let refusal = |flag: &str| {
        let output = kscope().args(["run", flag, "int8"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let weights = refusal("--dtype");
    assert!(weights.contains("`int8` is no element type of weights (f32, f16, bf16)"), "{weights}");
    let cache = refusal("--kv-dtype");
    assert!(
        cache.contains("`int8` is no element type of cached keys and values (f32, f16, bf16)"),
        "{cache}"
    );
}

#[test]
fn a_context_may_be_said_in_thousands_and_is_printed_with_separators() {
    let show = |more: &[&str]| {
        let output = kscope()
            .args(["model", "show", "--random-weights", "llama-3.1-8b"])
            .args(["--ctx", "128k", "--recent", "1k"])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let found: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!(found["context"], 131_072);
    assert!(show(&[]).contains("at 131,072 tokens: "), "{}", show(&[]));
}

#[test]
fn figures_have_separators() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let ids = vec!["5"; 513].join(",");
    let prompt = &["run", "--model", model, "--token-ids", &ids];
    let refused = kscope().args(prompt).args(["--ctx", "100000"]).output().unwrap();
    let sentence = String::from_utf8(refused.stderr).unwrap();
    assert!(sentence.contains("--ctx 100,000 is more than"), "{sentence}");
    let ids = vec!["5"; 1024].join(",");
    let prompt = ["run", "--model", "demo", "--token-ids", &ids, "--max-new", "2"];
    let output = kscope().args(prompt).output().unwrap();
    let figures = String::from_utf8(output.stderr).unwrap();
    assert!(figures.contains("prompt 1,024 tokens"), "{figures}");
    // The rate, whatever this machine reaches, has no four digits in a row.
    let rate = figures.split("decode ").nth(1).unwrap().split(" tok/s").next().unwrap();
    assert!(rate.split([',', '.']).all(|digits| digits.len() <= 3), "{figures}");
}
