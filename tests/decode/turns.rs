//! Follow-up turns: a turn passes through a cache as decode steps would, and with nothing pruned a
//! conversation is one long prefill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kscope::Error;
use kscope::cache::{CacheSpec, HeadView, SequenceCache, StoredKey};
use kscope::decode::comparison::Mode;
use kscope::decode::session::{Request, Session};
use kscope::element::Dtype;
use kscope::mask::ChannelMask;
use kscope::model::Model;
use kscope::model::decoder::{PrefillHooks, with_quiet_hooks};
use kscope::model::tokenizer::{Conversation, NextTurn};
use kscope_testing::models::*;
use kscope_testing::needs::smollm2;
use kscope_testing::plans::{planned, random_plan};
use kscope_testing::sides::{compare, steps};
use kscope_testing::{demo, error, kscope, require, sides};

const TINY: [&str; 13] = [
    "llama",
    "llama-gqa3",
    "qwen2",
    "qwen3",
    "olmo2",
    "granite",
    "smollm3",
    "phi3-partial",
    "ministral",
    "gemma2",
    "gemma3",
    "mixtral",
    "qwen3-moe-mixed",
];

/// Tokens that look like text to no one.
fn tokens(model: &Model, from: usize, len: usize) -> Vec<u32> {
    (from..from + len).map(|i| (i * 7919 % model.config().vocab) as u32).collect()
}

fn turn(tokens: Vec<u32>) -> NextTurn {
    NextTurn { tokens, again: None }
}

fn specs(model: &Model) -> Vec<Arc<CacheSpec>> {
    let shape = model.config().mask_shape();
    let third = ChannelMask::from_fn(shape, |layer, head, channel| {
        (layer, head) != (0, 0) && (channel + layer) % 3 == 0
    });
    vec![
        dense(model, SMALL, Dtype::F32),
        masked(model, SMALL, Dtype::F16, third),
        planned(SMALL, Dtype::F32, random_plan(shape, 3)),
    ]
}

/// The share of the first layer's stored numbers that differ by more than rounding: codes that
/// rounded the other way. Groups of other tokens would change nearly all of them.
fn other_numbers(a: &SequenceCache, b: &SequenceCache) -> f64 {
    let (mut other, mut all) = (0, 0);
    for head in 0..a.spec().shape().kv_heads {
        let [a, b] = [a, b].map(|cache| cache.head(0, head));
        for position in 0..a.len() {
            let numbers = |view: &HeadView<'_>| {
                let mut numbers = match view.key(position) {
                    StoredKey::Whole(key) | StoredKey::Packed(key) => key,
                    StoredKey::Dropped => Vec::new(),
                };
                numbers.extend(view.value(position).unwrap_or_default());
                numbers
            };
            let (a, b) = (numbers(&a), numbers(&b));
            assert_eq!(a.len(), b.len());
            all += a.len();
            other += a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
        }
    }
    assert!(all > 0);
    other as f64 / all as f64
}

#[test]
fn a_turn_is_what_decode_steps_would_do() {
    for name in TINY {
        let model = tiny(name);
        for spec in specs(&model) {
            // A code that rounds the other way, in a turn's product of many rows, costs more the more
            // layers come after it.
            let deep = model.config().layers > 4 && !spec.plan().is_mask();
            let most = if deep { 5e-2 } else { 2e-3 };
            for (held, read, chunk) in [(5, 1, 512), (60, 41, 7), (33, 90, 512)] {
                let (prompt, more) = (tokens(&model, 0, held), tokens(&model, held, read));
                let mut stepped = prefill(&model, &spec, &prompt, 512).0;
                let before = prefill(&model, &spec, &prompt, 512).0;
                let expected = step_logits(&model, &mut stepped, &more);
                let hooks = |chunk| {
                    with_quiet_hooks(|hooks| {
                        model.decoder.extend(&more, &before, PrefillHooks { chunk, ..hooks })
                    })
                };
                let (mut grown, logits) = hooks(chunk).unwrap();
                let off = error(&logits, expected.last().unwrap());
                assert!(off < most, "{name}, {held} then {read}: {off:e}");
                assert_eq!((grown.tokens(), before.tokens()), (held + read, held));
                assert_eq!(grown.bytes(), stepped.bytes());
                if !spec.plan().is_mask() {
                    let share = other_numbers(&grown, &stepped);
                    assert!(share < 0.01, "{name}: {share} of the first layer's numbers differ");
                }
                let next = tokens(&model, 7, 3);
                let off = rows_error(
                    &step_logits(&model, &mut grown, &next),
                    &step_logits(&model, &mut stepped, &next),
                );
                assert!(off < most, "{name}: the caches differ, {off:e}");
            }
        }
    }
}

#[test]
fn a_backend_without_its_own_way_reads_a_turn_step_by_step() {
    let (host, tensors) = (tiny("llama"), tiny_on_tensors("llama"));
    let read = |model: &Arc<Model>| {
        let cache = prefill(model, &dense(model, SMALL, Dtype::F32), &tokens(model, 0, 40), 512).0;
        with_quiet_hooks(|hooks| model.decoder.extend(&tokens(model, 40, 30), &cache, hooks))
            .unwrap()
            .1
    };
    let off = error(&read(&tensors), &read(&host));
    assert!(off < 1e-4, "{off:e}");
}

/// Three turns in a session, and each again as one long prefill of the same tokens.
fn talk_and_check(
    model: &Arc<Model>,
    dtype: Dtype,
    turns: [Vec<u32>; 3],
    max_new: usize,
    tolerance: f32,
) {
    let spec = dense(model, SMALL, dtype);
    let [first, rest @ ..] = turns;
    let mut session = run(model, &spec, greedy(model, vec![first], max_new)).unwrap();
    for more in rest {
        with_quiet_hooks(|hooks| session.follow(&turn(more), hooks)).unwrap();
        while !session.is_finished() {
            session.step(&mut |_, _, _| ()).unwrap();
        }
        let found = &session.sequences()[0];
        let history = found.tokens[..found.prompt_len].to_vec();
        let long = run(model, &spec, greedy(model, vec![history], max_new)).unwrap();
        let expected = &long.sequences()[0];
        assert_eq!(found.generated(), expected.generated());
        assert_eq!(found.finish, expected.finish);
        for (found, expected) in found.logprobs.iter().zip(&expected.logprobs) {
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
        assert_eq!(found.cache.bytes(), expected.cache.bytes());
    }
}

#[test]
fn with_a_mask_that_keeps_everything_turns_equal_one_long_prefill() {
    for name in TINY {
        let model = tiny(name);
        let turns = [0, 50, 90].map(|from| tokens(&model, from, 31));
        talk_and_check(&model, Dtype::F32, turns, 12, 1e-3);
    }
    if require("model") {
        let model = load(&smollm2().unwrap(), Some(Dtype::F16));
        let tokenizer = model.tokenizer.as_ref().unwrap();
        let says = ["Name three rivers of Europe.", "Which of them is longest?", "And shortest?"];
        // The texts between the answers, as the template has them.
        let (talk, first) = Conversation::chat(tokenizer, says[0]).unwrap();
        let next = |message| talk.next(&first, &[], message).unwrap().1.tokens;
        talk_and_check(&model, Dtype::F32, [first.clone(), next(says[1]), next(says[2])], 24, 2e-3);
    }
}

#[test]
fn a_cut_answer_is_read_whole_and_an_end_token_only_where_the_turn_has_it() {
    let model = tiny("llama");
    let spec = dense(&model, SMALL, Dtype::F32);
    let prompt = tokens(&model, 0, 20);
    let more = tokens(&model, 20, 6);
    let ends = [2, 4].map(|max_new| {
        let request = greedy(&model, vec![prompt.clone()], max_new);
        let mut session = run(&model, &spec, request).unwrap();
        let answer = session.sequences()[0].generated().to_vec();
        let fed = session.sequences()[0].cache.tokens();
        assert_eq!(fed, 20 + answer.len() - 1, "the last token is not fed yet");
        with_quiet_hooks(|hooks| session.follow(&turn(more.clone()), hooks)).unwrap();
        let sequence = &session.sequences()[0];
        let is_end = model.config().eos.contains(answer.last().unwrap());
        let said = &answer[..answer.len() - usize::from(is_end)];
        assert_eq!(sequence.tokens[..sequence.prompt_len], [&prompt[..], said, &more].concat());
        assert_eq!(sequence.cache.tokens(), sequence.prompt_len);
        assert_eq!((sequence.generated().len(), sequence.logprobs.len()), (1, 1));
        is_end
    });
    assert_eq!(ends, [false, true], "one answer is cut, the other ends");
}

#[test]
fn what_does_not_fit_or_is_stopped_changes_nothing() {
    let model = tiny("llama");
    let spec = &specs(&model)[1];
    let start = || {
        let request = Request { context: 64, ..greedy(&model, vec![tokens(&model, 0, 30)], 8) };
        run(&model, spec, request).unwrap()
    };
    let mut session = start();
    let before = session.sequences()[0].tokens.clone();
    let refused = |session: &mut Session, tokens| {
        with_quiet_hooks(|hooks| session.follow(&turn(tokens), hooks)).unwrap_err()
    };
    let said = refused(&mut session, tokens(&model, 0, 40)).to_string();
    assert!(said.contains("leaves no room in the context of 64"), "{said}");
    let all = model.config().vocab as u32;
    assert!(refused(&mut session, vec![all]).to_string().contains("outside"));
    let calls = AtomicUsize::new(0);
    let stop = || match calls.fetch_add(1, Ordering::Relaxed) {
        12.. => Err(Error::Cancelled),
        _ => Ok(()),
    };
    let more = tokens(&model, 3, 10);
    let hooks = PrefillHooks {
        chunk: 512,
        progress: &mut |_| Ok(()),
        keep_going: &stop,
        observe: &mut |_| (),
    };
    let stopped = session.follow(&turn(more.clone()), hooks);
    assert_eq!(stopped.unwrap_err(), Error::Cancelled);
    assert_eq!(session.sequences()[0].tokens, before);
    let mut other = start();
    for session in [&mut session, &mut other] {
        with_quiet_hooks(|hooks| session.follow(&turn(more.clone()), hooks)).unwrap();
    }
    assert_eq!(session.sequences()[0].logprobs, other.sequences()[0].logprobs);
    let mut batch = run(&model, spec, greedy(&model, vec![before.clone(), before], 2)).unwrap();
    assert!(refused(&mut batch, more).to_string().contains("a batch is not a conversation"));
}

#[test]
fn both_sides_read_a_turn_through_their_own_caches() {
    let model = demo();
    let ids = sides::prompt(&model, 5, 1200);
    let more = sides::prompt(&model, 6, 300);
    let vocab = model.config().vocab;
    for keep in [64, 16] {
        let pruned = sides::spec(&model, sides::WINDOW, |_, _, channel| channel < keep);
        let mut comparison = compare(&model, &pruned, Mode::Forced, vec![ids.clone()]);
        steps(&mut comparison, 20);
        let history = [&ids[..], &comparison.a.generated[0], &more].concat();
        let mut stepped = comparison.b.caches[0].copied().unwrap();
        let unread = &history[stepped.tokens()..];
        let expected = step_logits(&model, &mut stepped, unread);
        let both = [history.clone(), history.clone()];
        with_quiet_hooks(|hooks| comparison.follow(both, false, hooks)).unwrap();
        let off = error(comparison.b.logits(0, vocab), expected.last().unwrap());
        assert!(off < 1e-4, "{off:e}");
        let first = comparison.first.unwrap().kld;
        match keep {
            64 => {
                assert!(first < 1e-6, "nothing is pruned, and the first token differs by {first}")
            }
            _ => {
                assert!(first > 1e-5, "the pruned side read the turn with fewer channels: {first}")
            }
        }
        assert_eq!(comparison.a.generated, comparison.b.generated);
        steps(&mut comparison, 3);
        assert_eq!(comparison.steps[0].len(), 3);
        comparison.rewind(2).unwrap();
        assert_eq!(comparison.a.caches[0].tokens(), history.len() + 1);
        // Read again, both sides come from one exact prefill.
        let both = [history.clone(), history.clone()];
        with_quiet_hooks(|hooks| comparison.follow(both, true, hooks)).unwrap();
        assert_eq!((comparison.first, comparison.b.caches[0].tokens()), (None, history.len()));
        assert_eq!(comparison.a.logits(0, vocab), comparison.b.logits(0, vocab));
    }
}

fn chat(arguments: &[&str], lines: &str) -> std::process::Output {
    kscope().args(["run", "--chat"]).args(arguments).write_stdin(lines).output().unwrap()
}

#[test]
fn every_line_is_a_turn_of_the_command() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    let output =
        chat(&["--model", model, "--max-new", "6", "--json"], "the tide\n\nand then?\nwhy");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let turns = found["turns"].as_array().unwrap();
    let said: Vec<&str> = turns.iter().map(|turn| turn["prompt"].as_str().unwrap()).collect();
    assert_eq!(said, ["the tide", "and then?", "why"]);
    let mut context = 0;
    for turn in turns {
        let [read, all] =
            ["prompt_tokens", "context_tokens"].map(|key| turn[key].as_u64().unwrap());
        let answer = turn["tokens"].as_array().unwrap().len() as u64;
        assert!((1..=6).contains(&answer) && all > context + answer);
        // Only what is new is read; an end token of the answer before is replaced by the template's.
        assert!(turn["again"].is_null() && read + answer <= all - context + 1, "{turn}");
        context = all;
    }
    let text = chat(&["--model", model, "--max-new", "6", "-p", "the tide"], "and then?\nwhy\n");
    let answers: Vec<&str> = turns.iter().map(|turn| turn["text"].as_str().unwrap()).collect();
    assert_eq!(String::from_utf8(text.stdout).unwrap(), answers.join("\n") + "\n");
}

#[test]
fn turns_that_cannot_be_are_refused_by_number() {
    let folder = tiny_folder("llama");
    let model = folder.path().to_str().unwrap();
    for (arguments, lines, expected) in [
        (
            &["--ctx", "40", "--max-new", "4"][..],
            "a\nb\nc\nd\ne\nf\ng\nh\n",
            "leaves no room in the context of 40",
        ),
        (&[], "", "standard input has no turn"),
        (&["-p", "a", "-p", "b"], "", "--chat begins with one prompt, not 2"),
        (&["--prompt-file", "-"], "", "--prompt-file cannot be - too"),
        (&["--batch", "2"], "a\n", "cannot be used with '--batch"),
        (&["--max-new", "0"], "a\n", "must be at least 1 with --chat"),
    ] {
        let output = chat(&[&["--model", model], arguments].concat(), lines);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let output = chat(&["--random-weights", "smollm2-135m"], "a\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no tokenizer"));
}
