//! The inspector itself: `kscope` without a command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::args::{
    CacheArgs, ForceArg, GivenPlan, ModeArg, ModelArgs, OnePromptArgs, SamplingArgs, fitting,
    read_plan, refuse_coded,
};
use super::look;
use super::output;
use super::values;
use crate::decode::worker::event::MaskInfo;
use crate::decode::worker::{Engine, Event, Loader, Prompt, Setup};
use crate::mask::files::{self, Split};
use crate::mask::{CachePlan, Sensitivity, Window, fingerprint};
use crate::model::config::Config;
use crate::model::demo::generator::{DemoSpec, DemoText};
use crate::model::device::Placement;
use crate::model::load::Source as ModelSource;
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::ask_terminal;
use crate::tui::app::ask_terminal::{Answered, Questions, Stray};
use crate::tui::app::config::Background;
use crate::tui::app::log::LogBuffer;
use crate::tui::app::opening::{NewModel, Openers};
use crate::tui::app::record::Recorder;
use crate::tui::app::run::{NextRun, Phase};
use crate::tui::app::runner;
use crate::tui::app::runner::{EventSource, Exit, Outside, SharedModel};
use crate::tui::app::settings::{Look, Reload};
use crate::tui::app::state::{Beginning, State};
use crate::tui::app::story::Quiz;
use crate::tui::app::terminal::TerminalGuard;
use crate::tui::app::update::update;
use crate::tui::app::{log, summary};
use crate::tui::graphics;
use crate::tui::graphics::Graphics;
use crate::{Error, Result};

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

/// When the map is a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum GraphicsArg {
    /// Where the terminal says so.
    Auto,
    /// Always.
    Kitty,
    /// Never.
    None,
}

/// How the screen looks.
#[derive(Debug, Clone, clap::Args)]
pub struct ScreenArgs {
    /// Colours: auto, truecolor, 256, 16, none or ascii
    #[arg(long, default_value = "auto", value_name = "DEPTH")]
    pub(super) color: String,
    /// The terminal's background [default: what the terminal says, COLORFGBG, or dark]
    #[arg(long, value_name = "dark|light")]
    pub(super) background: Option<Background>,
    /// Colours: dark, light, colour-blind, high-contrast, or a file in kscope/themes of the
    /// configuration folder
    #[arg(long, value_name = "NAME", conflicts_with = "background")]
    pub(super) theme: Option<String>,
    /// The map in real pixels: where the terminal says that it shows Kitty's pictures (auto), always
    /// (kitty; through tmux it needs `allow-passthrough on`), or never
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    graphics: GraphicsArg,
    /// Leave the mouse to the terminal, so that it selects text
    #[arg(long)]
    pub(super) no_mouse: bool,
    /// Print the summary instead of opening a screen; so it is where standard output is no terminal or
    /// TERM is dumb or not set
    #[arg(long)]
    plain: bool,
    /// The same summary as JSON
    #[arg(long)]
    json: bool,
}

impl ScreenArgs {
    /// Whether there is a screen to open.
    pub fn is_interactive(&self) -> bool {
        !self.plain
            && !self.json
            && std::io::stdout().is_terminal()
            && std::io::stdin().is_terminal()
            && output::terminal_draws()
    }

    /// What the screen looks like, and where every option comes from. Flags override the
    /// configuration, which overrides what the terminal says of itself.
    pub fn look(&self, path: &[&str], terminal: Option<Background>) -> Result<Look> {
        look::look(self, path, terminal)
    }

    /// Asks the terminal what nothing else says: its background, and whether it shows pictures.
    pub fn ask_terminal(&self) -> Result<Option<Answered>> {
        let config = look::configuration()?;
        let is_said = self.theme.is_some()
            || self.background.is_some()
            || config.theme.is_some()
            || config.background.is_some();
        let lookup = |name: &str| std::env::var(name).ok();
        let asked = Questions {
            background: !is_said,
            // tmux passes pictures on, but no answers.
            graphics: self.graphics == GraphicsArg::Auto
                && lookup("TMUX").is_none()
                && graphics::may_know_placeholders(lookup),
        };
        let term = lookup("TERM").unwrap_or_default();
        let asks = (asked.background || asked.graphics)
            && self.is_interactive()
            && ask_terminal::can_be_asked(&term);
        Ok(asks.then(|| ask_terminal::ask(asked)))
    }

    /// How pictures get to the terminal.
    pub fn graphics(&self, answered: Option<Answered>) -> Graphics {
        let through_tmux = std::env::var_os("TMUX").is_some();
        match self.graphics {
            GraphicsArg::Kitty => Graphics::Kitty { through_tmux },
            GraphicsArg::Auto if answered.is_some_and(|answered| answered.graphics) => {
                Graphics::Kitty { through_tmux }
            }
            GraphicsArg::Auto | GraphicsArg::None => Graphics::Cells,
        }
    }

    /// What the look is read from again when the configuration changes, and a late answer of the
    /// terminal.
    pub fn outside(
        &self,
        first: &Look,
        path: &'static [&'static str],
        answered: Option<Answered>,
    ) -> Outside {
        let (args, background) = (self.clone(), answered.and_then(|answered| answered.background));
        let reload = Reload::new(first, Box::new(move || args.look(path, background)));
        Outside { reload: Some(reload), stray: answered.map(Stray::new).unwrap_or_default() }
    }

    /// Prints the summary of a session.
    pub fn print(&self, state: &State) -> Result<()> {
        if self.json {
            output::json("session", &summary::json(state))
        } else {
            output::line(&summary::text(state))
        }
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
    let placement = args.model.device.placement()?;
    let interactive = args.screen.is_interactive();
    // As many tokens as the context holds after the prefill; the engine stops at its end.
    let most = if interactive { usize::MAX >> 1 } else { PLAIN_NEW };
    let plan = NextRun {
        prompt: args.prompt.prompt()?.unwrap_or_else(|| default_prompt(&source)),
        sampling,
        max_new: args.max_new.unwrap_or(most),
        ignore_end: false,
    };
    let (log, _guard) = if interactive { log::start() } else { (LogBuffer::default(), None) };
    let mut state = State::new(Beginning {
        theme: look.theme.clone(),
        keys: look.keys.clone(),
        loading_name: name(args),
        plan,
        replay: false,
        log,
        export_folder: PathBuf::from("."),
    });
    if matches!(source, ModelSource::Demo) {
        let text = demo_text();
        state.quiz =
            Some(Quiz { question: text.asked().to_owned(), value: text.value().to_owned() });
        // Who gives arguments knows what they came for.
        state.tells_story = interactive && look.story && std::env::args_os().len() == 1;
    }
    (state.settings, state.themes) = (look.settings.clone(), look.themes.clone());
    state.graphics = args.screen.graphics(answered);
    let asked = Asked::of(args);
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

fn name(args: &InspectArgs) -> String {
    args.model.random_weights.clone().unwrap_or_else(|| args.model.model.clone())
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

/// What a session decodes and compares with, as the arguments ask for it.
#[derive(Debug, Clone)]
struct Asked {
    model: ModelArgs,
    cache: CacheArgs,
    diff: Option<String>,
    sensitivity: Option<PathBuf>,
    solo: bool,
    mode: ModeArg,
    panic: Option<runner::PanicIn>,
}

impl Asked {
    fn of(args: &InspectArgs) -> Self {
        Self {
            model: args.model.clone(),
            cache: args.cache.clone(),
            diff: args.diff.clone(),
            sensitivity: args.sensitivity.clone(),
            solo: args.solo,
            mode: args.mode,
            panic: args.panic,
        }
    }

    /// The same for another model: what belonged to the one before is left out.
    fn of_another(&self) -> Self {
        let cache = CacheArgs { mask: None, plan: Vec::new(), ctx: None, ..self.cache.clone() };
        Self { cache, diff: None, sensitivity: None, panic: None, ..self.clone() }
    }
}

/// How the screen opens masks and models.
fn openers(asked: Asked) -> Openers {
    let (device, cache) = (asked.model.device, asked.cache.clone());
    let plan = move |text: &str, config: &Config| {
        if text == "none" {
            let full = CachePlan::full(config.mask_shape());
            return Ok((MaskInfo::named("dense", full), cache.window(Window::default())?));
        }
        let given = read_plan(text, config).map_err(|error| {
            // On the screen no option was typed.
            let sentence = error.to_string();
            let plain = sentence.strip_prefix("--plan ").map(str::to_owned);
            plain.map_or(error, Error::input)
        })?;
        refuse_coded(device, &given.name, &given.plan)?;
        let window = cache.window(given.window)?;
        Ok((given.into_info(), window))
    };
    let model = move |text: &str| {
        let mut asked = asked.of_another();
        let source = match text.strip_prefix("--random-weights") {
            Some(geometry) => ModelSource::random(geometry.trim(), None, 0)?,
            None => ModelSource::resolve(text)?,
        };
        asked.model.layers = None;
        let prompt = default_prompt(&source);
        let placement = device.placement()?;
        let model = SharedModel::default();
        let loader = loader(asked, source, SharedModel::clone(&model), placement);
        Ok(NewModel { loader, model, prompt })
    };
    Openers { plan: Box::new(plan), model: Box::new(model) }
}

/// Loads the model, on the thread of the engine.
fn loader(
    asked: Asked,
    source: ModelSource,
    shared: SharedModel,
    placement: Option<Placement>,
) -> Loader {
    let Asked { model: model_args, cache, diff, sensitivity: given, solo, mode, panic } = asked;
    let feed = mode.into();
    Box::new(move |progress| {
        let opened = model_args.open(&source)?;
        // Masks are read before the weights, so that a wrong mask is reported at once.
        let config = opened.config.clone();
        let mut choice = cache.choice(&config, model_args.device)?;
        let shipped = match choice.given {
            None if !cache.is_dense() => shipped_mask(&opened)?,
            _ => None,
        };
        if let Some(shipped) = shipped {
            // Flags go before the file's own window.
            choice.window = cache.window(shipped.window)?;
            choice.given = Some(shipped);
        }
        let context = cache.context(&config)?;
        let other = diff.as_deref().map(|text| read_plan(text, &config)).transpose()?;
        let other = other.map(GivenPlan::into_info);
        let sensitivity = sensitivity(given.as_deref(), choice.given.as_ref(), &opened)?;
        let of_files = opened.warnings.clone();
        let model = Arc::new(opened.load_on(model_args.dtype, placement, progress)?);
        // Cannot be set already: a loader runs once.
        let _ = shared.set(Arc::clone(&model));
        assert!(panic != Some(runner::PanicIn::Engine), "on purpose: --panic engine");
        if panic == Some(runner::PanicIn::Stack) {
            fill_the_stack(1);
        }
        let warnings = [&of_files, choice.warnings()].concat();
        let mask = choice.given.map(GivenPlan::into_info);
        let (window, kv_dtype) = (choice.window, cache.kv_dtype);
        Ok(Setup {
            model,
            mask,
            other,
            window,
            kv_dtype,
            context,
            solo,
            feed,
            sensitivity,
            warnings,
        })
    })
}

/// Calls itself until there is no stack left.
fn fill_the_stack(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { fill_the_stack(depth + 1) + here[(depth % 64) as usize] }
}

/// The sensitivity of a file that is asked for, of the plan's own file, or of the file called
/// `MODEL-sensitivity.safetensors` beside it.
fn sensitivity(
    asked: Option<&Path>,
    given: Option<&GivenPlan>,
    opened: &crate::model::load::Opened,
) -> Result<Option<Arc<Sensitivity>>> {
    let read = |path: &Path| {
        let config = &opened.config;
        let contents = files::read(path, &Split::of(config.mask_shape()))?;
        let file = path.display().to_string();
        contents.origin().expect_model(&file, &opened.name, &fingerprint(&config.geometry()))?;
        let held = contents.expect_sensitivity(&file)?.clone();
        match held.shape() == config.mask_shape() {
            true => Ok(Some(Arc::new(held))),
            false => Err(Error::input(format!(
                "{file}: expected sensitivity of shape {}, found {}",
                config.mask_shape(),
                held.shape()
            ))),
        }
    };
    let file = given.and_then(|given| given.file.as_ref());
    match (asked, file) {
        (Some(path), _) => read(path),
        (None, Some(file)) if file.sensitivity.is_some() => {
            Ok(file.sensitivity.clone().map(Arc::new))
        }
        (None, Some(_)) => {
            let beside = given.map(|given| Path::new(&given.name)).and_then(Path::parent);
            let beside =
                beside.map(|at| at.join(format!("{}-sensitivity.safetensors", opened.name)));
            beside.filter(|path| path.is_file()).map_or(Ok(None), |path| read(&path))
        }
        (None, None) => Ok(None),
    }
}

/// Masks inside the program, which their models open with where none is given.
const SHIPPED: [(&str, &[u8]); 2] = [
    ("masks/demo.safetensors", include_bytes!("../../masks/demo.safetensors")),
    (
        "masks/smollm2-135m-0.5.safetensors",
        include_bytes!("../../masks/smollm2-135m-0.5.safetensors"),
    ),
];

/// The mask inside the program that was made for this model, by its name and sizes.
fn shipped_mask(opened: &crate::model::load::Opened) -> Result<Option<GivenPlan>> {
    let config = &opened.config;
    let fingerprint = fingerprint(&config.geometry());
    for (name, bytes) in SHIPPED {
        let contents = files::parse(bytes, name, &Split::default())?;
        let origin = contents.origin();
        if origin.fingerprint == fingerprint && origin.model == opened.name {
            let mut given = fitting(contents, name, config)?;
            if opened.name != "demo" {
                given.warnings.push(format!(
                    "decoding with the mask that comes with {}, {name}: --mask none decodes dense",
                    opened.name
                ));
            }
            return Ok(Some(given));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Window;

    #[test]
    fn masks_inside_the_program_are_read_and_bound_to_a_model() {
        for (name, bytes) in SHIPPED {
            let contents = files::parse(bytes, name, &Split::default()).expect(name);
            let origin = contents.origin();
            assert!(!origin.model.is_empty() && origin.fingerprint.len() == 64, "{name}");
        }
    }

    #[test]
    fn the_default_prompt_reaches_the_middle_of_the_default_window() {
        let Prompt::Facts { text } = default_prompt(&ModelSource::Demo) else { panic!("facts") };
        let window = Window::default();
        assert!(text.split(' ').count() > window.sink + window.recent, "words are at least tokens");
    }
}
