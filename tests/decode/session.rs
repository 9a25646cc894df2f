//! Properties of sessions for any model: chunks, steps and batches do not change results; limits,
//! ends, streamed text.

use std::sync::Arc;

use kscope::decode::sampler::Sampling;
use kscope::decode::session::{Finish, Request};
use kscope::element::Dtype;
use kscope::mask::ChannelMask;
use kscope::model::Model;
use kscope::model::tokenizer::{Detokenizer, Tokenizer};
use kscope_testing::models::*;
use kscope_testing::needs::smollm2;
use kscope_testing::{require, vectors};

fn prompt(name: &str) -> Vec<u32> {
    Vectors::open(&vectors().join("tiny").join(name).join("vectors.safetensors")).ids("prompt")
}

fn refusal(model: &Arc<Model>, request: Request) -> String {
    let error = run(model, &dense(model, SMALL, Dtype::F16), request).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn chunked_prefill_equals_one_shot_prefill() {
    for name in ["llama", "llama-gqa3", "qwen2", "qwen3"] {
        let (model, prompt) = (tiny(name), prompt(name));
        let whole = prompt_logits(&model, &prompt, prompt.len());
        for chunk in [1, 7, 64, 199, 512] {
            let error = rows_error(&prompt_logits(&model, &prompt, chunk), &whole);
            assert!(error < 1e-5, "{name} in chunks of {chunk}: {error:e}");
        }
    }
}

#[test]
fn decode_step_by_step_equals_one_prefill_of_the_whole() {
    for name in
        ["llama", "llama-gqa3", "llama-hd256", "llama3", "mistral", "qwen2-yarn-type", "qwen3"]
    {
        let (model, prompt) = (tiny(name), prompt(name));
        let whole = prompt_logits(&model, &prompt, 512);
        let spec = dense(&model, SMALL, Dtype::F32);
        for start in [1, 2, 63, 64, 65, 150] {
            let mut cache = prefill(&model, &spec, &prompt[..start], 512).0;
            let error =
                rows_error(&step_logits(&model, &mut cache, &prompt[start..]), &whole[start..]);
            assert!(error < 1e-5, "{name} from token {start}: {error:e}");
        }
    }
}

#[test]
fn a_ragged_batch_equals_each_prompt_alone_bit_for_bit() {
    let (model, prompt) = (tiny("llama3"), prompt("llama3"));
    let prompts: Vec<Vec<u32>> =
        [1, 3, 64, 200, 17, 90, 128, 33, 2].iter().map(|&len| prompt[..len].to_vec()).collect();
    let mask = ChannelMask::from_fn(model.config().mask_shape(), |layer, head, channel| {
        (layer + head + channel) % 3 != 0
    });
    for (kv, temperature) in [(Dtype::F16, 0.0), (Dtype::F32, 1.0), (Dtype::Bf16, 1.5)] {
        let spec = masked(&model, SMALL, kv, mask.clone());
        let sampling =
            |seed| Sampling { temperature, repeat_penalty: 1.1, seed, ..Sampling::default() };
        let request =
            |prompts, seed| Request { sampling: sampling(seed), ..greedy(&model, prompts, 48) };
        let batch = run(&model, &spec, request(prompts.clone(), 7)).unwrap();
        for (index, (prompt, together)) in prompts.iter().zip(batch.sequences()).enumerate() {
            let alone =
                run(&model, &spec, request(vec![prompt.clone()], 7 + index as u64)).unwrap();
            let alone = &alone.sequences()[0];
            assert_eq!(together.tokens, alone.tokens, "sequence {index}");
            assert_eq!(bits(&together.logprobs), bits(&alone.logprobs), "sequence {index}");
            assert_eq!(
                (together.finish, together.cache.bytes()),
                (alone.finish, alone.cache.bytes()),
                "sequence {index}"
            );
        }
        let lengths: Vec<usize> =
            batch.sequences().iter().map(|sequence| sequence.generated().len()).collect();
        assert!(
            temperature == 0.0 || lengths.iter().any(|&len| len < 48),
            "no sequence left the batch early: {lengths:?}"
        );
    }
}

fn bits(logprobs: &[f32]) -> Vec<u32> {
    logprobs.iter().map(|logprob| logprob.to_bits()).collect()
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_and_one_exactly_as_long_gives_one_token() {
    let model = tiny("llama");
    let limit = model.config().max_context;
    let long: Vec<u32> = prompt("llama").into_iter().cycle().take(limit + 1).collect();
    let sentence = refusal(&model, greedy(&model, vec![long.clone()], 4));
    assert_eq!(
        sentence,
        "a prompt of 513 tokens does not fit the context of 512 (`max_position_embeddings`)"
    );

    let spec = dense(&model, SMALL, Dtype::F16);
    let exact = run(&model, &spec, greedy(&model, vec![long[..limit].to_vec()], 4)).unwrap();
    assert_eq!(
        (exact.sequences()[0].generated().len(), exact.sequences()[0].finish),
        (1, Some(Finish::Context))
    );
    let below = run(&model, &spec, greedy(&model, vec![long[..limit - 3].to_vec()], 8)).unwrap();
    assert_eq!(
        (below.sequences()[0].tokens.len(), below.sequences()[0].finish),
        (limit, Some(Finish::Context))
    );
}

#[test]
fn a_smaller_context_than_the_models_holds_and_a_larger_one_does_not() {
    let model = tiny("llama");
    let spec = dense(&model, SMALL, Dtype::F16);
    let request =
        |context| Request { context, ..greedy(&model, vec![prompt("llama")[..40].to_vec()], 100) };
    assert_eq!(run(&model, &spec, request(50)).unwrap().sequences()[0].tokens.len(), 50);
    assert_eq!(
        refusal(&model, request(39)),
        "a prompt of 40 tokens does not fit the context of 39"
    );
    let long = vec![prompt("llama").into_iter().cycle().take(513).collect()];
    let sentence = refusal(&model, Request { context: usize::MAX, ..greedy(&model, long, 1) });
    assert!(sentence.contains("513") && sentence.contains("512"), "{sentence}");
}

#[test]
fn the_decoder_itself_refuses_a_step_beyond_the_context() {
    let model = tiny("llama");
    let limit = model.config().max_context;
    let long: Vec<u32> = prompt("llama").into_iter().cycle().take(limit).collect();
    let (mut cache, _) = prefill(&model, &dense(&model, SMALL, Dtype::F16), &long, 512);
    let mut buffers = kscope::model::decoder::StepBuffers::new(model.config(), 1);
    let error =
        model.decoder.step(&[1], &mut [&mut cache], &mut buffers, &mut |_, _, _| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the sequence fills the model's context of 512 (`max_position_embeddings`) (512 tokens)"
    );
    assert_eq!(cache.tokens(), limit, "nothing was appended");
}

#[test]
fn an_empty_prompt_is_refused_and_a_prompt_of_one_token_decodes() {
    let model = tiny("qwen3");
    assert_eq!(
        refusal(&model, greedy(&model, vec![vec![]], 4)),
        "the prompt is empty: at least one token is needed"
    );
    let spec = dense(&model, SMALL, Dtype::F32);
    let session = run(&model, &spec, greedy(&model, vec![vec![5]], 4)).unwrap();
    assert_eq!(session.sequences()[0].generated().len(), 4);
    assert_eq!(session.prompt_logprobs, [Vec::<f32>::new()]);
    let whole = prompt_logits(&model, &session.sequences()[0].tokens, 512);
    let found: Vec<u32> =
        whole[..4].iter().map(|logits| kscope::decode::sampler::argmax(logits)).collect();
    assert_eq!(session.sequences()[0].generated(), found);
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let model = tiny("llama");
    let sentence = refusal(&model, greedy(&model, vec![vec![1, 96]], 4));
    assert_eq!(sentence, "token id 96 is outside the model's vocabulary of 96");
    let request = Request { forced: Some(vec![4, 96]), ..greedy(&model, vec![vec![1]], 2) };
    assert_eq!(refusal(&model, request), "token id 96 is outside the model's vocabulary of 96");
}

#[test]
fn every_end_token_of_the_model_ends_a_sequence_and_nothing_else_does() {
    let model = tiny("llama3");
    assert_eq!(model.config().eos, [2, 3, 4]);
    let sampling = Sampling { temperature: 3.0, seed: 1, ..Sampling::default() };
    let prompts = vec![prompt("llama3")[..8].to_vec(); 64];
    let session = run(
        &model,
        &dense(&model, SMALL, Dtype::F16),
        Request { sampling, ..greedy(&model, prompts, 40) },
    )
    .unwrap();
    let mut ends = Vec::new();
    for sequence in session.sequences() {
        let (last, before) = sequence.generated().split_last().unwrap();
        assert!(before.iter().all(|token| !model.config().eos.contains(token)));
        match sequence.finish {
            Some(Finish::EndToken) => ends.push(*last),
            found => assert_eq!((found, sequence.generated().len()), (Some(Finish::MaxNew), 40)),
        }
        assert!(sequence.finish != Some(Finish::EndToken) || model.config().eos.contains(last));
    }
    for end in [2, 3, 4] {
        assert!(ends.contains(&end), "no sequence ended with {end}: {ends:?}");
    }
    assert!(ends.len() < 64, "every sequence ended early");
}

#[test]
fn forced_tokens_are_fed_and_scored_as_prefill_scores_them_and_end_tokens_among_them_end_nothing() {
    let model = tiny("llama3");
    let spec = dense(&model, SMALL, Dtype::F32);
    let mut tokens = prompt("llama3")[..120].to_vec();
    tokens[60..63].copy_from_slice(&[2, 3, 4]);
    let whole = run(&model, &spec, greedy(&model, vec![tokens.clone()], 0)).unwrap();
    // The session ends with the last forced token, whatever the limit on new tokens.
    for max_new in [70, 100] {
        let request = Request {
            forced: Some(tokens[50..].to_vec()),
            ..greedy(&model, vec![tokens[..50].to_vec()], max_new)
        };
        let fed = run(&model, &spec, request).unwrap();
        assert_eq!(
            (&fed.sequences()[0].tokens, fed.sequences()[0].finish),
            (&tokens, Some(Finish::MaxNew))
        );
        for (fed, whole) in fed.sequences()[0].logprobs.iter().zip(&whole.prompt_logprobs[0][49..])
        {
            assert!((fed - whole).abs() < 1e-4, "{fed} and {whole}");
        }
    }
}

#[test]
fn forced_tokens_that_do_not_fit_the_context_are_refused_rather_than_cut() {
    let model = tiny("llama");
    let forced = |count| Request {
        forced: Some(vec![5; count]),
        context: 50,
        ..greedy(&model, vec![vec![1; 40]], count)
    };
    let session = run(&model, &dense(&model, SMALL, Dtype::F16), forced(10)).unwrap();
    assert_eq!(session.sequences()[0].generated(), [5; 10]);
    assert_eq!(
        refusal(&model, forced(11)),
        "a prompt of 40 tokens and 11 forced ones do not fit the context of 50"
    );
}

#[test]
fn nothing_is_generated_where_nothing_was_asked_for() {
    let model = tiny("llama");
    let session =
        run(&model, &dense(&model, SMALL, Dtype::F16), greedy(&model, vec![vec![1, 5]], 0))
            .unwrap();
    assert_eq!(
        (session.sequences()[0].generated().len(), session.sequences()[0].finish),
        (0, Some(Finish::MaxNew))
    );
    assert_eq!(session.prompt_logprobs[0].len(), 1);
}

fn streamed(tokenizer: &Arc<Tokenizer>, ids: &[u32]) -> String {
    let mut stream = Detokenizer::new(Arc::clone(tokenizer));
    let text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text + &stream.finish().unwrap()
}

#[test]
fn streamed_text_never_cuts_a_character_and_adds_up_to_the_whole() {
    let strings = json(&vectors().join("gguf/cases.json"))["strings"].as_array().unwrap().clone();
    let smollm2 = require("model").then(|| smollm2().unwrap());
    let files = ["llama-f32", "llama-rope-freqs", "llama-spm", "qwen2-q8_0"];
    for path in files.iter().map(|name| vectors().join(format!("gguf/{name}.gguf"))).chain(smollm2)
    {
        let tokenizer = load(&path, None).tokenizer.clone().unwrap();
        let mut split = 0;
        for text in strings.iter().map(|string| string.as_str().unwrap()).chain([
            "🙂👩‍👩‍👧‍👦 x 🏳️‍🌈",
            "a\u{fffd}b",
            " lead",
            "日本",
        ]) {
            let ids = tokenizer.encode(text).unwrap();
            let mut stream = Detokenizer::new(Arc::clone(&tokenizer));
            for &id in &ids {
                let piece = stream.push(id);
                split += usize::from(piece.is_empty());
                assert!(
                    !piece.contains('\u{fffd}') || text.contains('\u{fffd}'),
                    "{text:?}: a piece cuts a character: {piece:?}"
                );
            }
            let whole = tokenizer.decode(&ids).unwrap();
            assert_eq!(streamed(&tokenizer, &ids), whole, "{}", path.display());
            // Cut anywhere, also inside a character.
            for cut in 0..ids.len() {
                let (found, expected) =
                    (streamed(&tokenizer, &ids[..cut]), tokenizer.decode(&ids[..cut]).unwrap());
                assert_eq!(found, expected, "{text:?} cut after {cut} tokens");
            }
        }
        assert!(split > 10, "no character was split over tokens");
    }
}

#[test]
fn bytes_that_never_become_a_character_spoil_no_word_around_them() {
    let tokenizer = load(&vectors().join("gguf/llama-spm.gguf"), None).tokenizer.clone().unwrap();
    let mut ids = tokenizer.encode("grüße the lamp").unwrap();
    let after = tokenizer.encode("e the lamp").unwrap().len() - 1;
    // The second byte of the sharp s.
    ids.remove(ids.len() - after - 1);
    // One byte that fits nothing spoils the run of bytes that it is in, as it does where all is
    // decoded at once; the words around it stay.
    let found = streamed(&tokenizer, &ids);
    assert_eq!(found, tokenizer.decode(&ids).unwrap());
    assert!(found.starts_with("gr") && found.ends_with("e the lamp"), "{found:?}");
    assert!(found.contains('\u{fffd}'), "{found:?}");
}
