//! Decoding one prompt, or a ragged batch of them, over one set of weights.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::follow;
use crate::decode::sampler::{Sampler, Sampling, logprob};
use crate::model::Model;
use crate::model::config::Config;
use crate::model::decoder::{PrefillHooks, StepBuffers, StepObserver, StepTimes};
use crate::model::states::PromptStates;
use crate::model::tokenizer::NextTurn;
use crate::numbers::count;
use crate::{Error, Result};

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model gave an end token.
    EndToken,
    /// As many tokens as requested.
    MaxNew,
    /// The context is full.
    Context,
}

/// One sequence of a session.
#[derive(Debug)]
pub struct Sequence {
    /// Prompt and generated tokens; the last generated one has not been fed yet.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt; of the whole conversation before the answer, where there were turns.
    pub prompt_len: usize,
    /// Natural log-probability of each generated token.
    pub logprobs: Vec<f32>,
    /// Keys and values of every token but the last.
    pub cache: SequenceCache,
    /// Why the sequence ended, once it has.
    pub finish: Option<Finish>,
    /// Time from the start of the prefill to its first token. Of several prompts all are read first.
    pub ttft: Duration,
    sampler: Sampler,
    /// Tokens to feed instead of sampling, next one last.
    forced: Vec<u32>,
}

impl Sequence {
    /// The generated tokens.
    pub fn generated(&self) -> &[u32] {
        &self.tokens[self.prompt_len..]
    }

    /// The generated tokens that are text: all except an end token that ended the sequence.
    pub fn spoken(&self) -> &[u32] {
        let ends = usize::from(self.finish == Some(Finish::EndToken));
        &self.tokens[self.prompt_len..self.tokens.len() - ends]
    }
}

/// Settings of a session.
#[derive(Debug, Clone)]
pub struct Request {
    /// Token ids of each prompt.
    pub prompts: Vec<Vec<u32>>,
    /// How tokens are chosen; sequence `i` draws with `seed + i`.
    pub sampling: Sampling,
    /// Most tokens to generate per sequence.
    pub max_new: usize,
    /// Tokens to feed through decode instead of sampled ones; the session ends after them.
    pub forced: Option<Vec<u32>>,
    /// Largest context, prompt included; the model's own where it is smaller.
    pub context: usize,
    /// Whether end tokens are tokens like any other, so that only length ends a sequence.
    pub ignore_end: bool,
}

impl Request {
    /// Most tokens that a sequence generates.
    fn most(&self) -> usize {
        self.forced.as_ref().map_or(self.max_new, Vec::len)
    }

    /// Refuses a prompt of this many tokens if it does not fit the context, alone or with the
    /// forced tokens after it.
    fn check_fits(&self, prompt: usize, context: usize, config: &Config) -> Result<()> {
        let longest = || match context == config.max_context {
            true => config.longest(),
            false => count(context),
        };
        if prompt > context {
            return Err(Error::input(format!(
                "a prompt of {} tokens does not fit the context of {}",
                count(prompt),
                longest()
            )));
        }
        // In a full context one token can still be predicted, because it need not be fed.
        let most = 1.max(context - prompt);
        match &self.forced {
            Some(forced) if forced.len() > most => Err(Error::input(format!(
                "a prompt of {} tokens and {} forced ones do not fit the context of {}",
                count(prompt),
                count(forced.len()),
                longest()
            ))),
            _ => Ok(()),
        }
    }

    /// The sequence of prompt `index`, whose keys and values are in `cache`.
    fn sequence(&self, index: usize, prompt: Vec<u32>, cache: SequenceCache) -> Sequence {
        let sampling = self.sampling.of_sequence(index);
        let mut forced = self.forced.clone().unwrap_or_default();
        forced.reverse();
        Sequence {
            prompt_len: prompt.len(),
            tokens: prompt,
            logprobs: Vec::new(),
            cache,
            finish: None,
            ttft: Duration::ZERO,
            sampler: Sampler::new(sampling),
            forced,
        }
    }
}

/// Sequences being decoded together.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    sequences: Vec<Sequence>,
    max_new: usize,
    context: usize,
    ignore_end: bool,
    buffers: StepBuffers,
    buffers_batch: usize,
    /// Time of the prefill of all prompts, to the logits that first tokens are drawn from.
    pub prefill_time: Duration,
    /// Time of each decode step.
    pub step_times: Vec<Duration>,
    /// Where the time of all steps went.
    pub parts: StepTimes,
    /// Log-probabilities of each prompt's tokens but the first, where they were asked for.
    pub prompt_logprobs: Vec<Vec<f32>>,
}

/// A token that a step gave for one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewToken {
    /// Index of the sequence.
    pub sequence: usize,
    /// The token.
    pub id: u32,
    /// Its natural log-probability at temperature 1.
    pub logprob: f32,
}

impl Session {
    /// Prefills every prompt and samples each sequence's first token.
    pub fn start(
        model: Arc<Model>,
        spec: &Arc<CacheSpec>,
        mut request: Request,
        prompt_logprobs: bool,
        hooks: PrefillHooks<'_>,
    ) -> Result<(Self, Vec<NewToken>)> {
        request.sampling.check()?;
        let config = model.config();
        let context = request.context.min(config.max_context);
        let max_new = request.most();
        for tokens in request.prompts.iter().chain(&request.forced) {
            model.check_tokens(tokens)?;
        }
        let began = Instant::now();
        let prompts = std::mem::take(&mut request.prompts);
        let total: usize = prompts.iter().map(Vec::len).sum();
        let mut done = 0;
        let mut sequences = Vec::with_capacity(prompts.len());
        let mut all_prompt_logprobs = Vec::new();
        let mut first = Vec::new();
        let mut buffers = StepBuffers::new(config, prompts.len());
        let mut prefill_time = Duration::ZERO;
        for (index, prompt) in prompts.into_iter().enumerate() {
            request.check_fits(prompt.len(), context, config)?;
            let mut cache =
                SequenceCache::with_capacity(Arc::clone(spec), context.min(prompt.len() + max_new));
            let (before, share) =
                (done as f32 / total.max(1) as f32, prompt.len() as f32 / total.max(1) as f32);
            let states = model.decoder.prefill(
                &prompt,
                &mut [&mut cache],
                PrefillHooks {
                    chunk: hooks.chunk,
                    progress: &mut |part| (hooks.progress)(before + share * part),
                    keep_going: hooks.keep_going,
                    observe: hooks.observe,
                },
            )?;
            done += prompt.len();
            if prompt_logprobs {
                all_prompt_logprobs.push(logprobs_of_prompt(&model, &states, &prompt)?);
            }
            let logits = model.decoder.logits(&states.last()?)?;
            buffers.logits[index * config.vocab..][..config.vocab].copy_from_slice(&logits);
            prefill_time = began.elapsed();
            let mut sequence = request.sequence(index, prompt, cache);
            first.extend(sequence.begin(index, &logits, config, &request));
            sequences.push(sequence);
        }
        // Nobody sees a first token before the last prompt is read.
        let ttft = began.elapsed();
        sequences.iter_mut().for_each(|sequence| sequence.ttft = ttft);
        let mut session = Self::over(&model, sequences, buffers, &request, prefill_time);
        session.prompt_logprobs = all_prompt_logprobs;
        Ok((session, first))
    }

    /// The same beginning without a prefill: `cache` holds the request's one prompt, and `logits`
    /// are those after its last token.
    ///
    /// # Errors
    /// For a batch, and for a cache of other tokens than the prompt's.
    pub fn resume(
        model: &Arc<Model>,
        mut request: Request,
        cache: SequenceCache,
        logits: &[f32],
    ) -> Result<(Self, Vec<NewToken>)> {
        request.sampling.check()?;
        let began = Instant::now();
        let config = model.config();
        let prompts = std::mem::take(&mut request.prompts);
        let Ok([prompt]) = <[Vec<u32>; 1]>::try_from(prompts) else {
            return Err(Error::run("a kept cache is that of one prompt"));
        };
        if prompt.len() != cache.tokens() {
            return Err(Error::run("a kept cache holds all tokens of its prompt"));
        }
        request.check_fits(prompt.len(), request.context.min(config.max_context), config)?;
        let mut buffers = StepBuffers::new(config, 1);
        buffers.logits.copy_from_slice(logits);
        let prefill_time = began.elapsed();
        let mut sequence = request.sequence(0, prompt, cache);
        let first = sequence.begin(0, logits, config, &request);
        sequence.ttft = began.elapsed();
        let session = Self::over(model, vec![sequence], buffers, &request, prefill_time);
        Ok((session, first.into_iter().collect()))
    }

    /// A session whose sequences have their first tokens.
    fn over(
        model: &Arc<Model>,
        sequences: Vec<Sequence>,
        buffers: StepBuffers,
        request: &Request,
        prefill_time: Duration,
    ) -> Self {
        Self {
            buffers,
            buffers_batch: sequences.len(),
            sequences,
            max_new: request.most(),
            context: request.context.min(model.config().max_context),
            ignore_end: request.ignore_end,
            prefill_time,
            step_times: Vec::new(),
            parts: StepTimes::default(),
            prompt_logprobs: Vec::new(),
            model: Arc::clone(model),
        }
    }

    /// The sequences.
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Whether every sequence has ended.
    pub fn is_finished(&self) -> bool {
        self.sequences.iter().all(|sequence| sequence.finish.is_some())
    }

    /// Feeds each running sequence its last token and samples the next ones. `observe` is that of
    /// [`Decoder::step`](crate::model::decoder::Decoder::step).
    pub fn step(&mut self, observe: &mut StepObserver<'_>) -> Result<Vec<NewToken>> {
        let began = Instant::now();
        let config = self.model.config();
        let mut running: Vec<(usize, &mut Sequence)> = self
            .sequences
            .iter_mut()
            .enumerate()
            .filter(|(_, sequence)| sequence.finish.is_none())
            .collect();
        if running.is_empty() {
            return Ok(Vec::new());
        }
        if self.buffers_batch != running.len() {
            self.buffers = StepBuffers::new(config, running.len());
            self.buffers_batch = running.len();
        }
        let fed: Vec<u32> = running
            .iter()
            .map(|(_, sequence)| *sequence.tokens.last().expect("a first token"))
            .collect();
        let mut caches: Vec<&mut SequenceCache> =
            running.iter_mut().map(|(_, sequence)| &mut sequence.cache).collect();
        self.model.decoder.step(&fed, &mut caches, &mut self.buffers, observe)?;
        let mut new = Vec::with_capacity(running.len());
        for (row, (index, sequence)) in running.iter_mut().enumerate() {
            let goes_on = !sequence.forced.is_empty() || self.ignore_end;
            let (id, logprob) = sequence.choose(self.buffers.logits_of(row, config.vocab));
            sequence.settle(id, config.eos.contains(&id), self.max_new, self.context, goes_on);
            new.push(NewToken { sequence: *index, id, logprob });
        }
        self.parts += self.buffers.times;
        self.step_times.push(began.elapsed());
        Ok(new)
    }

    /// Goes on with another turn of a conversation: its tokens pass through the cache as it stands,
    /// and the first token of the next answer is sampled. Generated tokens, log-probabilities and
    /// time to the first token are those of this answer from then on. After an error nothing has
    /// changed.
    ///
    /// # Errors
    /// For a batch, for a turn that leaves no room in the context or in memory, and where the hooks
    /// stop it.
    pub fn follow(&mut self, turn: &NextTurn, hooks: PrefillHooks<'_>) -> Result<NewToken> {
        let (model, began) = (Arc::clone(&self.model), Instant::now());
        let (max_new, context) = (self.max_new, self.context);
        let [sequence] = &mut self.sequences[..] else {
            return Err(Error::input("a batch is not a conversation: it takes one turn"));
        };
        let history =
            follow::history(&sequence.tokens[..sequence.prompt_len], sequence.spoken(), turn);
        follow::check_room(history.len(), max_new, context)?;
        let spec = sequence.cache.spec();
        follow::check_memory(&model, [&sequence.cache], history.len(), max_new, context)?;
        let (cache, logits) = match &turn.again {
            None => {
                model.decoder.extend(&history[sequence.cache.tokens()..], &sequence.cache, hooks)?
            }
            Some(_) => {
                let mut cache = SequenceCache::with_capacity(Arc::clone(spec), history.len());
                let logits = follow::read_again(&model, &history, &mut [&mut cache], hooks)?;
                (cache, logits)
            }
        };
        (sequence.prompt_len, sequence.tokens) = (history.len(), history);
        (sequence.cache, sequence.finish) = (cache, None);
        sequence.logprobs.clear();
        sequence.forced.clear();
        let (id, logprob) = sequence.choose(&logits);
        let is_end = model.config().eos.contains(&id);
        sequence.settle(id, is_end, max_new, context, self.ignore_end);
        sequence.ttft = began.elapsed();
        Ok(NewToken { sequence: 0, id, logprob })
    }

    /// Chooses the next tokens so, and treats end tokens so: a sequence that an end token ended goes
    /// on where they are ignored. Gives the sampling from then on.
    ///
    /// # Errors
    /// Settings out of range; nothing has then changed.
    pub fn go_on(&mut self, sampling: Option<Sampling>, ignore_end: bool) -> Result<Sampling> {
        if let Some(sampling) = sampling {
            sampling.check()?;
            for (index, sequence) in self.sequences.iter_mut().enumerate() {
                sequence.sampler = Sampler::new(sampling.of_sequence(index));
            }
        }
        self.ignore_end = ignore_end;
        let ended = self.sequences.iter_mut().filter(|one| one.finish == Some(Finish::EndToken));
        for sequence in ended.filter(|_| ignore_end) {
            let generated = sequence.tokens.len() - sequence.prompt_len;
            sequence.finish = sequence.length_end(generated, self.max_new, self.context);
        }
        let first = self.sequences.first();
        Ok(first.map(|sequence| sequence.sampler.sampling().clone()).unwrap_or_default())
    }

    /// Prunes every sequence further, from the next token on; see [`SequenceCache::narrowed`].
    pub fn narrow(&mut self, spec: &Arc<CacheSpec>) -> Result<()> {
        let narrowed =
            self.sequences.iter().map(|sequence| sequence.cache.narrowed(Arc::clone(spec)));
        let caches = narrowed.collect::<Result<Vec<_>>>()?;
        for (sequence, cache) in self.sequences.iter_mut().zip(caches) {
            sequence.cache = cache;
        }
        Ok(())
    }

    /// Logits of the last step's `row`-th running sequence; before the first step, those after the
    /// `row`-th prompt.
    pub fn last_logits(&self, row: usize) -> &[f32] {
        self.buffers.logits_of(row, self.model.config().vocab)
    }
}

impl Sequence {
    /// Chooses the token after the prompt, unless none is asked for.
    fn begin(
        &mut self,
        index: usize,
        logits: &[f32],
        config: &Config,
        request: &Request,
    ) -> Option<NewToken> {
        let max_new = request.most();
        if max_new == 0 {
            self.finish = Some(Finish::MaxNew);
            return None;
        }
        let (id, logprob) = self.choose(logits);
        let context = request.context.min(config.max_context);
        let goes_on = request.forced.is_some() || request.ignore_end;
        self.settle(id, config.eos.contains(&id), max_new, context, goes_on);
        Some(NewToken { sequence: index, id, logprob })
    }

    /// The forced or sampled next token and its log-probability.
    fn choose(&mut self, logits: &[f32]) -> (u32, f32) {
        let id = self.forced.pop().unwrap_or_else(|| self.sampler.sample(logits, &self.tokens));
        let logprob = logprob(logits, id);
        self.logprobs.push(logprob);
        (id, logprob)
    }

    fn settle(&mut self, id: u32, is_end: bool, max_new: usize, context: usize, goes_on: bool) {
        self.tokens.push(id);
        let generated = self.tokens.len() - self.prompt_len;
        self.finish = match is_end && !goes_on {
            true => Some(Finish::EndToken),
            false => self.length_end(generated, max_new, context),
        };
    }

    /// Why its length ends the sequence, if it does.
    fn length_end(&self, generated: usize, max_new: usize, context: usize) -> Option<Finish> {
        if generated >= max_new {
            Some(Finish::MaxNew)
        } else if self.tokens.len() >= context {
            Some(Finish::Context)
        } else {
            None
        }
    }
}

/// Log-probability of each prompt token but the first, given those before it; logits are made a few
/// rows at a time.
fn logprobs_of_prompt(model: &Model, states: &PromptStates, prompt: &[u32]) -> Result<Vec<f32>> {
    const ROWS: usize = 32;
    let vocab = model.config().vocab;
    let mut out = Vec::with_capacity(prompt.len().saturating_sub(1));
    for (at, next) in prompt[1..].chunks(ROWS).enumerate() {
        let logits = model.decoder.logits(&states.rows(at * ROWS..at * ROWS + next.len())?)?;
        out.extend(
            logits.chunks_exact(vocab).zip(next).map(|(logits, &token)| logprob(logits, token)),
        );
    }
    Ok(out)
}
