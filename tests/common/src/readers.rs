//! Every reader of outside files, given the bytes of one file: what the fuzz targets run (fuzz/) and
//! what the committed inputs of `tests/corpus/fuzz` are read with. A reader may refuse the bytes;
//! it must not panic, and what it accepts must be usable.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use kscope::cli::Cli;
use kscope::decode::sampler::Sampling;
use kscope::decode::worker::Prompt;
use kscope::eval::data::{DataFile, Templates};
use kscope::eval::report::{Report, html, worst};
use kscope::eval::run::{Figures, read_results};
use kscope::eval::text::BaseFile;
use kscope::mask::files::{self, Format, Split, native, npy, pth, tsv};
use kscope::model::load::{Opened, Source, hf_config};
use kscope::model::tokenizer::{ChatTemplate, Tokenizer};
use kscope::tui::app::action::Action;
use kscope::tui::app::config;
use kscope::tui::app::frame;
use kscope::tui::app::keys::KeyTable;
use kscope::tui::app::log::LogBuffer;
use kscope::tui::app::record::Player;
use kscope::tui::app::run::NextRun;
use kscope::tui::app::state::{Beginning, State};
use kscope::tui::app::update::update;
use kscope::tui::color::{ColorDepth, Colormap, Theme};
use kscope::tui::screen::Screen;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tempfile::TempDir;

use crate::models::tiny_folder;

/// A reader by the name of its fuzz target.
pub struct Reader {
    /// Its name.
    pub name: &'static str,
    /// Reads one file; whether it was accepted.
    pub read: fn(&[u8]) -> bool,
}

/// All readers.
pub const READERS: [Reader; 15] = [
    Reader { name: "safetensors", read: mask_safetensors },
    Reader { name: "pth", read: mask_pth },
    Reader { name: "npy", read: mask_npy },
    Reader { name: "tsv", read: mask_tsv },
    Reader { name: "weights", read: weights },
    Reader { name: "gguf", read: gguf },
    Reader { name: "configuration", read: configuration },
    Reader { name: "tokenizer", read: tokenizer },
    Reader { name: "template", read: template },
    Reader { name: "settings", read: settings },
    Reader { name: "recording", read: recording },
    Reader { name: "samples", read: samples },
    Reader { name: "results", read: results },
    Reader { name: "logits", read: logits },
    Reader { name: "arguments", read: arguments },
];

/// The reader of that name.
pub fn by_name(name: &str) -> &'static Reader {
    READERS.iter().find(|reader| reader.name == name).expect(name)
}

const SPLIT: Split = Split { kv_heads: Some(2), head_dim: None };
const TEXT: &str = "The 3 café owners' notes:\n\n  \u{1f642} 東京 <s></s> end";

thread_local! {
    static FOLDERS: RefCell<Vec<(&'static str, TempDir)>> = const { RefCell::new(Vec::new()) };
}

/// Writes the bytes as that file of a folder that `begin` makes once, and returns its path.
fn file(name: &'static str, bytes: &[u8], begin: fn() -> TempDir) -> PathBuf {
    let path = FOLDERS.with_borrow_mut(|folders| {
        if !folders.iter().any(|(of, _)| *of == name) {
            folders.push((name, begin()));
        }
        let (_, folder) = folders.iter().find(|(of, _)| *of == name).expect("just made");
        folder.path().join(name)
    });
    std::fs::write(&path, bytes).expect("a temporary folder takes files");
    path
}

fn empty() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn model_folder() -> TempDir {
    tiny_folder("llama")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().expect("it lies in a folder").to_owned()
}

/// A mask or plan that is accepted survives a round trip.
fn mask_safetensors(bytes: &[u8]) -> bool {
    let Ok(contents) = native::parse(bytes, "input") else { return false };
    let written = files::encode(&contents, Format::Safetensors, false).expect("it can be written");
    assert_eq!(files::parse(&written, "output", &Split::default()).as_ref(), Ok(&contents));
    true
}

fn mask_pth(bytes: &[u8]) -> bool {
    pth::parse(bytes, "input").and_then(|array| array.into_contents("input", &SPLIT)).is_ok()
}

fn mask_npy(bytes: &[u8]) -> bool {
    npy::parse(bytes, "input").and_then(|array| array.into_contents("input", &SPLIT)).is_ok()
}

fn mask_tsv(bytes: &[u8]) -> bool {
    tsv::parse(bytes, "input").and_then(|array| array.into_contents("input", &SPLIT)).is_ok()
}

/// A model that is read has weights that are finite, and a tokenizer that encodes.
fn model(source: &Source) -> bool {
    let Ok(opened) = Opened::open(source) else { return false };
    // A file of a few bytes may still describe a large model, which would be read as missing.
    let Ok(model) = opened.load(None, &mut |_| Ok(())) else { return false };
    encode(model.tokenizer.as_ref().expect("files have one"));
    true
}

fn encode(tokenizer: &Tokenizer) {
    if let Ok(ids) = tokenizer.encode(TEXT) {
        let _ = tokenizer.decode(&ids);
    }
    let _ = tokenizer.encode_chat(TEXT);
}

fn weights(bytes: &[u8]) -> bool {
    let path = file("model.safetensors", bytes, model_folder);
    model(&Source::Folder(parent(&path)))
}

fn gguf(bytes: &[u8]) -> bool {
    model(&Source::Gguf(file("model.gguf", bytes, empty)))
}

fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok((config, _)) = hf_config::parse(text, "config.json") else { return false };
    assert!(config.parameters() > 0);
    config.mask_shape().head_dim > 0
}

fn tokenizer(bytes: &[u8]) -> bool {
    let path = file("tokenizer.json", bytes, model_folder);
    model(&Source::Folder(parent(&path)))
}

fn template(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let special = vec![("bos_token".to_owned(), "<s>".to_owned())];
    let template = ChatTemplate::new(text, special, "input");
    template.render(&[("system", "Be brief."), ("user", TEXT)]).is_ok()
}

fn settings(bytes: &[u8]) -> bool {
    let path = file("config.toml", bytes, empty);
    config::read(&path).and_then(|config| KeyTable::new(&config.keys)).is_ok()
}

/// A recording is played to its end, every screen is drawn, and it is played back again.
fn recording(bytes: &[u8]) -> bool {
    let path = file("recording.jsonl", bytes, empty);
    let Ok(mut player) = Player::open(&path) else { return false };
    let plan = NextRun {
        prompt: Prompt::Tokens(vec![1]),
        sampling: Sampling::default(),
        max_new: 1,
        ignore_end: false,
    };
    let mut state = State::new(Beginning {
        terminal_light: false,
        theme: Theme::new(ColorDepth::True, false, Colormap::Viridis),
        keys: KeyTable::new(&Default::default()).expect("the default keys"),
        loading_name: "input".to_owned(),
        plan,
        replay: true,
        log: LogBuffer::default(),
        export_folder: ".".into(),
    });
    while !player.is_at_end() {
        for envelope in player.forward() {
            update(&mut state, Action::Engine(Box::new(envelope)));
        }
    }
    for screen in Screen::ALL {
        state.screen = screen;
        frame::render(&state, &mut Buffer::empty(Rect::new(0, 0, 120, 40)));
    }
    let _ = player.back();
    true
}

fn samples(bytes: &[u8]) -> bool {
    let path = file("samples.jsonl", bytes, empty);
    let Ok(data) = DataFile::read(&path, &Templates::default(), 100) else { return false };
    for sample in &data.samples {
        let _ = sample.score(TEXT);
    }
    true
}

fn results(bytes: &[u8]) -> bool {
    let path = file("results.jsonl", bytes, empty);
    let Ok(results) = read_results(&path) else { return false };
    let figures = Figures::of(&results);
    let worst = worst(&results.records);
    html(&Report { figures: &figures, worst: &worst, maps: &[], speed: &[] });
    true
}

fn logits(bytes: &[u8]) -> bool {
    let path = file("logits.bin", bytes, empty);
    let Ok(mut base) = BaseFile::open(&path) else { return false };
    base.row(0, 0).is_ok()
}

/// The command line, a word a line.
fn arguments(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    Cli::try_parse_from(std::iter::once("kscope").chain(text.split('\n'))).is_ok()
}
