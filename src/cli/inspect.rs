//! The inspector itself: `kscope` without a command.

mod loading;
mod screen;

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{CacheArgs, ForceArg, ModeArg, ModelArgs, OnePromptArgs, SamplingArgs};
use super::values;
use crate::decode::worker::{Engine, Event, Prompt};
use crate::model::demo::generator::{DemoSpec, DemoText};
use crate::model::load::Source as ModelSource;
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::record::Recorder;
use crate::tui::app::run::{NextRun, Phase};
use crate::tui::app::runner;
use crate::tui::app::runner::{EventSource, Exit, SharedModel};
use crate::tui::app::state::{Beginning, State};
use crate::tui::app::story::Quiz;
use crate::tui::app::terminal::TerminalGuard;
use crate::tui::app::update::update;
use crate::{Error, Result};
use loading::{AskedSession, loader, openers};
pub use screen::ScreenArgs;

/// Tokens to generate without a screen.
const PLAIN_NEW: usize = 256;

/// Arguments of the inspector.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Decode under the mask alone, without a dense side: the cache is really as small as the mask
    /// makes it, nothing is compared, and retuning can only prune further
    #[arg(long)]
    solo: bool,
    /// Which tokens the masked side is fed beside the dense one
    #[arg(long, value_enum, default_value = "forced", conflicts_with = "solo")]
    mode: ModeArg,
    /// A second plan that `d` compares with
    #[arg(long, value_name = "NAME|FILE")]
    diff: Option<String>,
    /// Sensitivity that Tune chooses plans by [default: that of the plan's file, or
    /// MODEL-sensitivity.safetensors beside it]; `kscope score --rule sensitivity` writes it
    #[arg(long, value_name = "FILE")]
    sensitivity: Option<PathBuf>,
    #[command(flatten)]
    prompt: OnePromptArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Most tokens to generate [default: on a screen as many as the context takes, otherwise 256]
    #[arg(long, value_name = "N", value_parser = values::tokens_or_zero)]
    max_new: Option<usize>,
    #[command(flatten)]
    screen: ScreenArgs,
    /// Write every event to this file, for `kscope replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
    /// Panic on purpose in this thread once the model is there, to test that the terminal survives
    /// it
    #[arg(long, value_name = "THREAD", hide = true)]
    panic: Option<runner::PanicIn>,
}

impl InspectArgs {
    /// The files that the session reads.
    fn reads(&self) -> Vec<&Path> {
        let plans = self.cache.plan.iter().chain(&self.diff);
        let plans = plans.map(|text| text.rsplit_once('*').map_or(&**text, |(file, _)| file));
        let files = self.cache.mask.iter().chain(&self.sensitivity).chain(&self.prompt.prompt_file);
        files
            .map(PathBuf::as_path)
            .chain(plans.map(Path::new))
            .chain([Path::new(&self.model.model)])
            .collect()
    }
}

/// Runs the inspector.
pub fn run(args: &InspectArgs) -> Result<()> {
    let began = Instant::now();
    let sampling = args.sampling.sampling()?;
    let answered = args.screen.ask_terminal()?;
    let look = args.screen.look(&[], answered.and_then(|answered| answered.background))?;
    let source = args.model.source()?;
    let recorder = match &args.record {
        Some(path) => {
            let recorder = Recorder::create(path, &args.reads())?;
            args.force.check(path)?;
            Some(recorder)
        }
        None => None,
    };
    args.model.prepare()?;
    let interactive = args.screen.is_interactive();
    let (log, _guard) = args.screen.log();
    let placement = args.model.device.placement()?;
    // As many tokens as the context holds after the prefill; the engine stops at its end.
    let most = if interactive { usize::MAX >> 1 } else { PLAIN_NEW };
    let plan = NextRun {
        prompt: args.prompt.prompt()?.unwrap_or_else(|| default_prompt(&source)),
        sampling,
        max_new: args.max_new.unwrap_or(most),
        ignore_end: false,
    };
    let mut state = State::new(Beginning {
        theme: look.theme.clone(),
        terminal_light: look.terminal_light,
        keys: look.keys.clone(),
        loading_name: name(args, &source),
        plan,
        replay: false,
        log,
        export_folder: PathBuf::from("."),
    });
    state.quiz = quiz(&source);
    // Who gives arguments knows what they came for; those of the colours say nothing of that.
    let is_new = screen::are_looks(std::env::args_os().skip(1));
    state.tells_story = state.quiz.is_some() && interactive && look.story && is_new;
    (state.settings, state.themes) = (look.settings.clone(), look.themes.clone());
    state.graphics = args.screen.graphics(answered);
    let asked = AskedSession::of(args);
    let exit = if interactive {
        let outside = args.screen.outside(&look, &[], answered);
        let guard = TerminalGuard::enter(look.mouse)?;
        let model = SharedModel::default();
        let (engine, events) =
            Engine::spawn(loader(asked.clone(), source, SharedModel::clone(&model), placement))?;
        runner::run(
            &mut state,
            EventSource::Engine(engine, events, model, openers(asked)),
            recorder,
            guard,
            args.panic,
            began,
            outside,
        )?
    } else {
        let (engine, events) =
            Engine::spawn(loader(asked, source, SharedModel::default(), placement))?;
        headless(&mut state, engine, events, recorder)?
    };
    finish(&args.screen, &state, exit, interactive)
}

/// Prints what remains after the screen has closed.
pub fn finish(screen: &ScreenArgs, state: &State, exit: Exit, interactive: bool) -> Result<()> {
    match exit {
        Exit::Failed(error) => Err(error),
        Exit::Stopped => Err(Error::Cancelled),
        Exit::Quit(shows) if shows || !interactive => screen.print(state),
        Exit::Quit(_) => Ok(()),
    }
}

/// Runs to the end without a screen, with the same state.
fn headless(
    state: &mut State,
    engine: Engine,
    mut events: tokio::sync::mpsc::Receiver<crate::decode::worker::Envelope>,
    mut recorder: Option<Recorder>,
) -> Result<Exit> {
    while let Some(envelope) = events.blocking_recv() {
        if let Some(recorder) = &mut recorder {
            recorder.write(&envelope)?;
            // So that a killed program has recorded what it did.
            recorder.flush()?;
        }
        let code = match envelope.event {
            Event::Failed { code, .. } => code,
            _ => 1,
        };
        for effect in update(state, Action::Engine(Box::new(envelope))) {
            match effect {
                Effect::Engine(command) => engine.send(command)?,
                Effect::Fail(error) => return Ok(Exit::Failed(error)),
                _ => {}
            }
        }
        match &state.phase {
            Phase::Finished(_) => break,
            Phase::Failed(sentence) => {
                return Ok(Exit::Failed(Error::of_code(code, sentence.clone())));
            }
            _ => {}
        }
    }
    if let Some(recorder) = &mut recorder {
        recorder.flush()?;
    }
    Ok(Exit::Quit(true))
}

fn name(args: &InspectArgs, source: &ModelSource) -> String {
    match source {
        // With the number of layers, where the shape is cut short.
        ModelSource::Random { name, .. } => name.clone(),
        _ => args.model.model.clone(),
    }
}

/// What the first prompt of a model asks, where that is known.
fn quiz(source: &ModelSource) -> Option<Quiz> {
    if !matches!(source, ModelSource::Demo) {
        return None;
    }
    let text = demo_text();
    Some(Quiz { question: text.asked().to_owned(), value: text.value().to_owned() })
}

/// The prompt where the user gives none: long enough that the middle of the cache is not empty.
fn default_prompt(source: &ModelSource) -> Prompt {
    const TEXT: &str = "The harbour was quiet that morning. Two boats lay at the pier, and the keeper of the light walked down to \
        count the crates. There were forty-one of them, each with a number in red paint. She wrote every number into her book, as \
        she had done for nineteen years. At noon the wind turned west, and the first sail came in sight. By evening all the crates \
        were gone, and the pier was empty again. The next day brought rain. Nobody came, so she oiled the lamp, swept the stairs and \
        read the old entries: storms, births, a whale, the year the ice reached the rocks. In the margin her father had drawn small \
        maps of the shoals, and beside them the depth in fathoms. She copied the best of them into the new book. On the third day a \
        letter arrived from the capital. The light would be run by a machine, it said, and the keeper could go home. She read it \
        twice, put it into the book between two pages, and went up to light the lamp.";
    match source {
        // Random weights have no tokenizer, so any tokens will do.
        ModelSource::Random { config, .. } => {
            Prompt::Tokens((0..256).map(|i| (i * 7919) % config.vocab as u32).collect())
        }
        ModelSource::Demo => Prompt::Facts { text: demo_text().prompt() },
        _ => Prompt::Text { text: format!("{TEXT}\n\nContinue this story."), raw: false },
    }
}

/// Sixteen facts among plain sentences, and a question about one of them: the task that the demo
/// model was trained on.
fn demo_text() -> DemoText {
    let wanted = DemoSpec { seed: 77, target_chars: 6400, facts: 16, ..DemoSpec::default() };
    DemoText::draw(&wanted).expect("sixteen facts are within the grammar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Window;

    #[test]
    fn the_default_prompt_reaches_the_middle_of_the_default_window() {
        let Prompt::Facts { text } = default_prompt(&ModelSource::Demo) else { panic!("facts") };
        let window = Window::default();
        assert!(text.split(' ').count() > window.sink + window.recent, "words are at least tokens");
    }
}
