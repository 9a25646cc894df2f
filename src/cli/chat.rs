//! `kscope run --chat`: a conversation; every line of standard input is a turn.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::{PromptArgs, Ready};
use super::output;
use super::progress::ProgressLine;
use super::run::{Printer, RunArgs, RunSetting, ms};
use super::widths::PlanReport;
use crate::cache::CacheSpec;
use crate::decode::looping::looping;
use crate::decode::session::{Finish, NewToken, Request, Session};
use crate::model::Model;
use crate::model::tokenizer::{Conversation, NextTurn};
use crate::spread::median_ms;
use crate::{Error, Result, input_file, machine, numbers};

/// The JSON object of a conversation.
#[derive(Debug, serde::Serialize)]
struct Report {
    #[serde(flatten)]
    setting: RunSetting,
    turns: Vec<Turn>,
    #[serde(flatten)]
    stored: PlanReport,
    threads: usize,
    resident_bytes: Option<u64>,
    warnings: Vec<String>,
}

/// One turn with its answer.
#[derive(Debug, serde::Serialize)]
struct Turn {
    /// The message.
    prompt: String,
    /// Tokens that were read for it: the template around it, and what was not in the cache yet.
    prompt_tokens: usize,
    /// Why the whole conversation was read again, where it was.
    again: Option<String>,
    tokens: Vec<u32>,
    text: String,
    logprobs: Vec<f32>,
    finish: Option<Finish>,
    /// Time from the message to the first token.
    ttft_ms: f64,
    /// Median over decode steps; null where there were none.
    tpot_ms: Option<f64>,
    tokens_per_s: Option<f64>,
    /// Tokens of the conversation so far, this answer included.
    context_tokens: usize,
    kv_bytes: usize,
    kv_bytes_dense: usize,
}

/// The messages, one after the other.
struct Messages {
    given: Option<String>,
    is_asked: bool,
    number: usize,
}

impl Messages {
    fn new(prompt: &PromptArgs) -> Result<Self> {
        let is_asked = std::io::stdin().is_terminal();
        Ok(Self { given: prompt.first_turn()?, is_asked, number: 0 })
    }

    /// The next message; empty lines are none.
    fn next(&mut self) -> Result<Option<String>> {
        self.number += 1;
        if let Some(given) = self.given.take() {
            return Ok(Some(given));
        }
        loop {
            if self.is_asked {
                let mut terminal = std::io::stderr();
                let _ = terminal.write_all(b"> ").and_then(|()| terminal.flush());
            }
            let name = Path::new("standard input");
            match input_file::read_line(&mut std::io::stdin().lock(), name, input_file::PROMPT)? {
                Some(line) if line.trim().is_empty() => {}
                line => return Ok(line),
            }
        }
    }
}

/// Runs `kscope run --chat`.
pub fn run(args: &RunArgs) -> Result<()> {
    let sampling = args.session.sampling.sampling()?;
    if args.max_new == 0 || args.prefill_chunk == 0 {
        return Err(Error::input(
            "--max-new and --prefill-chunk must be at least 1 with --chat, not 0",
        ));
    }
    let mut messages = Messages::new(&args.session.prompt)?;
    let mut begun = None;
    let ready = args.session.open_with(1, |model| {
        let first = messages.next()?.ok_or_else(|| {
            Error::input("--chat: standard input has no turn, and no --prompt is given")
        })?;
        let (conversation, tokens) = begin(model, &first, args.session.prompt.raw)?;
        begun = Some((conversation, first));
        Ok(vec![tokens])
    })?;
    let Some((mut conversation, first)) = begun else { return Ok(()) };
    let Ready { model, choice, pruned: spec, dense, context, prompts } = ready;
    let reach = prompts[0].len().saturating_add(args.max_new).min(context);
    model.check_cache_memory("the cache of the first turn", spec.bytes_at(reach).total())?;
    let request = Request {
        prompts,
        sampling,
        max_new: args.max_new,
        forced: None,
        context,
        ignore_end: args.ignore_eos,
    };
    let bar = ProgressLine::new("prefill");
    let (mut session, token) = bar.prefill(args.prefill_chunk, |hooks| {
        Session::start(Arc::clone(&model), &spec, request, false, hooks)
    })?;
    bar.finish();
    let read = session.sequences()[0].prompt_len;
    let mut turns = vec![answer(args, &mut session, &dense, first, (read, None), &token)?];
    while let Some(message) = messages.next()? {
        let number = messages.number;
        match follow(args, &mut session, &conversation, &message) {
            Ok((next, turn, read, token)) => {
                conversation = next;
                if let Some(why) = &turn.again {
                    output::note(&format!(
                        "kscope: turn {number}: {why}; the whole conversation was read again ({} tokens)",
                        numbers::count(read)
                    ));
                }
                turns.push(answer(
                    args,
                    &mut session,
                    &dense,
                    message,
                    (read, turn.again),
                    &[token],
                )?);
            }
            // Who types can ask something else; a pipe cannot.
            Err(error) if messages.is_asked => output::note(&format!("kscope: {error}")),
            Err(error) => {
                return Err(Error::of_code(error.exit_code(), format!("turn {number}: {error}")));
            }
        }
    }
    if !args.json {
        return Ok(());
    }
    output::json(
        "chat",
        &Report {
            setting: RunSetting::of(args, &model, &spec),
            turns,
            stored: PlanReport::of(&spec, model.config().max_context),
            threads: rayon::current_num_threads(),
            resident_bytes: machine::resident_bytes(),
            warnings: choice.warnings().to_vec(),
        },
    )
}

fn begin(model: &Model, message: &str, raw: bool) -> Result<(Conversation, Vec<u32>)> {
    let Some(tokenizer) = &model.tokenizer else {
        return Err(Error::input(format!(
            "{} has no tokenizer, so there are no words to talk with: --chat needs one",
            model.name
        )));
    };
    match raw {
        true => Ok((Conversation::plain(tokenizer), tokenizer.encode(message)?)),
        false => Conversation::chat(tokenizer, message),
    }
}

/// Reads another message; gives the conversation with it, what it added, the tokens that were read
/// and the first of the answer.
fn follow(
    args: &RunArgs,
    session: &mut Session,
    conversation: &Conversation,
    message: &str,
) -> Result<(Conversation, NextTurn, usize, NewToken)> {
    let sequence = &session.sequences()[0];
    let before = &sequence.tokens[..sequence.prompt_len];
    let (next, turn) = conversation.next(before, sequence.spoken(), message)?;
    let cached = sequence.cache.tokens();
    let bar = ProgressLine::new("reading the turn");
    let token = bar.prefill(args.prefill_chunk, |hooks| session.follow(&turn, hooks));
    bar.finish();
    let all = session.sequences()[0].prompt_len;
    let read = if turn.again.is_some() { all } else { all.saturating_sub(cached) };
    Ok((next, turn, read, token?))
}

/// Decodes the answer whose first token is there.
fn answer(
    args: &RunArgs,
    session: &mut Session,
    dense: &CacheSpec,
    prompt: String,
    (prompt_tokens, again): (usize, Option<String>),
    first: &[NewToken],
) -> Result<Turn> {
    let steps_before = session.step_times.len();
    let mut printer = Printer::new(session, args.json);
    printer.print(session, first)?;
    while !session.is_finished() {
        let new = session.step(&mut |_, _, _| ())?;
        printer.print(session, &new)?;
    }
    if !args.json {
        printer.finish(session)?;
    }
    let sequence = &session.sequences()[0];
    let times = &session.step_times[steps_before..];
    let spent: Duration = times.iter().sum();
    let text = match &session.model().tokenizer {
        Some(tokenizer) => tokenizer.decode(sequence.spoken())?,
        None => String::new(),
    };
    let turn = Turn {
        prompt,
        prompt_tokens,
        again,
        tokens: sequence.generated().to_vec(),
        text,
        logprobs: sequence.logprobs.clone(),
        finish: sequence.finish,
        ttft_ms: ms(sequence.ttft),
        tpot_ms: (!times.is_empty()).then(|| median_ms(times)),
        tokens_per_s: (!times.is_empty()).then(|| times.len() as f64 / spent.as_secs_f64()),
        context_tokens: sequence.tokens.len(),
        kv_bytes: sequence.cache.bytes().total(),
        kv_bytes_dense: dense.bytes_at(sequence.cache.tokens()).total(),
    };
    if !args.json {
        output::note(&figures(&turn));
    }
    Ok(turn)
}

fn figures(turn: &Turn) -> String {
    let speed = turn.tokens_per_s.map_or_else(|| "no decode step".to_owned(), numbers::rate);
    let end = match turn.finish {
        Some(Finish::MaxNew) => " · cut at --max-new",
        Some(Finish::Context) => " · cut where the context is full",
        _ => "",
    };
    let loops = looping(&turn.tokens).map_or_else(String::new, |found| {
        format!(" · loops every {}", numbers::counted(found.period, "token", "tokens"))
    });
    format!(
        "  read {} tokens, TTFT {:.0} ms · answer {} tokens, {speed}{end}{loops} · conversation {} tokens, KV {} of {} dense",
        numbers::count(turn.prompt_tokens),
        turn.ttft_ms,
        numbers::count(turn.tokens.len()),
        numbers::count(turn.context_tokens),
        numbers::bytes(turn.kv_bytes as u64),
        numbers::bytes(turn.kv_bytes_dense as u64),
    )
}
