//! The inspector in a real terminal: tmux is the terminal emulator, and the shell in it must work
//! normally afterwards.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::terminal::{PATIENCE, Terminal};

#[test]
fn a_session_from_start_to_quit() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("");
    terminal.wait("the map", |screen| {
        screen.contains("all layers") && screen.contains("share of channels kept")
    });
    terminal.keys(&["c"]);
    terminal.wait("another metric", |screen| screen.contains("score the mask was selected by"));
    terminal.keys(&["j", "Enter"]);
    terminal.wait("the layer", |screen| screen.contains("layer 1"));
    terminal.keys(&["Enter", "l", "l"]);
    terminal.wait("the head", |screen| screen.contains("ch 2") && screen.contains("partner"));
    terminal.tmux(&["resize-window", "-t", "t", "-x", "40", "-y", "10"]);
    terminal.wait("what is needed", |screen| screen.contains("kscope needs 60x16, this is 40x10"));
    terminal.tmux(&["resize-window", "-t", "t", "-x", "100", "-y", "30"]);
    terminal.wait("the head again", |screen| screen.contains("ch 2") && screen.contains("partner"));
    terminal.keys(&[":"]);
    terminal.keys(&["-l", "export csv channels.csv"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the file", |screen| screen.contains("wrote channels.csv"));
    let written =
        std::fs::read_to_string(terminal.home.path().join("channels.csv")).expect("written");
    assert!(
        written.starts_with("layer,kv_head,channel,pair,wavelength_tokens,kept,bits,importance"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 65, "one head of 64 channels");
    terminal.keys(&["Q"]);
    let screen = terminal.wait("the shell", |screen| screen.contains("code=0"));
    assert!(screen.contains("KV cache of"), "Q leaves the summary: {screen}");
    terminal.assert_sane();
}

#[test]
fn a_mask_is_retuned_measured_saved_and_loaded_again() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("--record session.jsonl");
    terminal.keys(&["4"]);
    terminal.wait("the first measurement", |screen| screen.contains("64 steps"));
    terminal.keys(&["}"]);
    terminal.wait("another mask at work", |screen| {
        screen.contains("at work, applied in") && screen.contains("* unsaved")
    });
    terminal.wait("its measurement", |screen| screen.contains("64 steps"));
    terminal.keys(&["s"]);
    terminal.wait("the sweep", |screen| screen.contains("29 points · learned"));
    terminal.keys(&["n", "n", "Enter"]);
    terminal.wait("the point's settings", |screen| {
        screen.contains("history: 2 back") && screen.contains("at work, applied in")
    });
    terminal.keys(&["q"]);
    terminal.wait("the question", |screen| screen.contains("is not saved"));
    terminal.keys(&["w"]);
    terminal.wait("the offered name", |screen| {
        screen.contains("save what is set as") && screen.contains("demo-keep")
    });
    terminal.keys(&["C-u"]);
    terminal.keys(&["-l", "mine.safetensors"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the file", |screen| {
        screen.contains("saved mine.safetensors") && !screen.contains("* unsaved")
    });
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.line("clear");
    terminal.start("--mask mine.safetensors");
    terminal.keys(&["4"]);
    terminal.wait("the saved mask", |screen| {
        screen.contains("as it is: mine") && screen.contains("64 steps")
    });
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.line("clear");
    // The recording shows the same changes.
    terminal.line(&format!("{} replay session.jsonl; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    terminal.wait("the recording", |screen| screen.contains("REPLAY") || screen.contains("PAUSED"));
    terminal.keys(&["4"]);
    terminal.wait("its last mask", |screen| {
        screen.contains("tuned keeps") && screen.contains("at work, applied in")
    });
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn files_are_completed_opened_and_asked_about_inside() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("--record session.jsonl");
    terminal.keys(&["4", "}"]);
    terminal.wait("another mask", |screen| screen.contains("* unsaved"));
    let save = |what: &str| {
        terminal.keys(&["w"]);
        terminal.wait("the prompt for a path", |screen| screen.contains("save what is set as"));
        terminal.keys(&["C-u"]);
        terminal.keys(&["-l", what]);
        terminal.keys(&["Enter"]);
    };
    save("mine.safetensors");
    terminal.wait("the file", |screen| screen.contains("saved mine.safetensors"));
    terminal.keys(&["{"]);
    terminal.wait("another mask", |screen| screen.contains("* unsaved"));
    save("mine.safetensors");
    terminal.wait("the question", |screen| screen.contains("mine.safetensors is there already"));
    terminal.keys(&["n"]);
    terminal.wait("no question", |screen| !screen.contains("Replace it?"));
    // A path is completed; what is not saved is asked about.
    terminal.keys(&["C-o"]);
    terminal.wait("the prompt for a path", |screen| screen.contains("open a mask or plan"));
    terminal.keys(&["-l", "mi"]);
    terminal.keys(&["Tab"]);
    terminal.wait("the completed path", |screen| screen.contains("› mine.safetensors"));
    terminal.keys(&["Enter"]);
    terminal.wait("the question", |screen| screen.contains("opening mine.safetensors"));
    terminal.keys(&["y"]);
    terminal.wait("the mask of the file", |screen| {
        screen.contains("mine is at work") && !screen.contains("* unsaved")
    });
    // A model that cannot be loaded leaves the one at work.
    terminal.keys(&[":"]);
    terminal.keys(&["-l", "model nothing-here"]);
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("the reason", |screen| screen.contains("no model `nothing-here`"));
    assert!(screen.contains("demo") && !screen.contains("FAILED"), "{screen}");
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.line("clear");
    // The recording is gone through, from its end where it stands still.
    terminal.line(&format!("{} replay session.jsonl; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    // It stands still at its end.
    terminal.wait("the end", |screen| screen.contains(" token ") && screen.contains("▮▮ 1×"));
    terminal.keys(&[":"]);
    terminal.keys(&["-l", "seek 7"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the seventh token", |screen| screen.contains(" token 7 of "));
    terminal.keys(&[")"]);
    terminal.wait("ten on", |screen| screen.contains(" token 17 of "));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn a_prompt_is_typed_and_answered() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("");
    terminal.keys(&["7", "p"]);
    terminal.wait("the editor", |screen| screen.contains("sends, esc leaves"));
    terminal.keys(&["-l", "zebra zebra "]);
    terminal.keys(&["C-s"]);
    terminal.wait("the new run", |screen| {
        screen.contains("zebra zebra") && !screen.contains("sends, esc leaves")
    });
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn both_sides_are_shown_gone_through_and_gone_back_on() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("--max-new 60");
    terminal.wait("the end", |screen| screen.contains("DONE"));
    terminal.keys(&["3"]);
    let screen = terminal.wait("both sides", |screen| {
        screen.contains("A dense") && screen.contains("masked ") && screen.contains("rank")
    });
    assert!(
        screen.contains("B keeps")
            && screen.contains("same top")
            && screen.contains("token 60 of 60"),
        "{screen}"
    );
    terminal.keys(&["h"]);
    terminal.wait("the token before", |screen| screen.contains("token 59 of 60"));
    terminal.keys(&["b"]);
    terminal.wait("the timed run", |screen| screen.contains("alone A "));
    terminal.keys(&["f"]);
    terminal.wait("free sides", |screen| screen.contains("free each reads its own"));
    terminal.keys(&["BSpace"]);
    terminal.wait("the text cut back", |screen| {
        screen.contains("token 59 of 59") && screen.contains("PAUSED")
    });
    terminal.keys(&["Space"]);
    terminal.wait("the end again", |screen| screen.contains("DONE") && screen.contains("of 60"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

/// What `update` asked for at a tick was once dropped: the pane then stood for minutes.
#[test]
fn what_a_step_lost_follows_the_text() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    // At reading speed, with both sides reading the same.
    terminal.tells_story("");
    terminal.start("");
    terminal.wait("the story", |screen| screen.contains("1/4"));
    terminal.keys(&["f"]);
    let of = |screen: &str| {
        let (_, rest) = screen.split_once(" of token ")?;
        rest.split(';').next()?.parse::<usize>().ok()
    };
    let mut before = of(&terminal.wait("an answer", |screen| of(screen).is_some()));
    for _ in 0..2 {
        before = of(&terminal.wait("a later answer", |screen| of(screen) > before));
    }
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn a_signal_to_end_leaves_the_shell_as_it_was() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    for signal in ["TERM", "HUP", "INT", "QUIT"] {
        terminal.start("");
        let pid = terminal.child().to_string();
        Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill runs");
        terminal.wait("the shell", |screen| {
            screen.contains("kscope: cancelled") && screen.contains("code=1")
        });
        terminal.assert_sane();
    }
}

#[test]
fn a_signal_that_kills_leaves_the_shell_as_it_was() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    terminal.line("ulimit -c 0");
    let signals: &[&str] = match std::env::var("KSCOPE_RELIABILITY").as_deref() {
        Ok("long") => {
            &["ABRT", "ALRM", "BUS", "FPE", "ILL", "SEGV", "SYS", "TRAP", "USR1", "USR2", "XCPU"]
        }
        _ => &["ABRT", "SEGV", "USR1"],
    };
    for signal in signals {
        terminal.line("clear");
        terminal.start("");
        let pid = terminal.child().to_string();
        Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill runs");
        terminal.wait("the shell", |screen| {
            screen.contains(&format!("kscope: ended by SIG{signal}")) && screen.contains("code=1")
        });
        terminal.assert_sane();
    }
    println!("figure\tsignals that kill\t{}: the terminal as before", signals.len());
    terminal.line("clear");
    terminal.line(&format!("{} --panic stack; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    let screen = terminal.wait("the shell", |screen| screen.contains("code=134"));
    assert!(screen.contains("ended by SIGSEGV") && screen.contains("overflow"), "{screen}");
    terminal.assert_sane();
}

#[test]
fn a_terminal_that_can_do_nothing_gets_the_summary() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    for (at, without) in ["TERM=dumb", "TERM=", "-u TERM"].iter().enumerate() {
        terminal.line(&format!(
            "clear; env {without} {} --max-new 4 > /dev/tty; echo code={at}$?",
            env!("CARGO_BIN_EXE_kscope")
        ));
        let code = format!("code={at}0");
        let screen = terminal.wait("the shell", |screen| screen.contains(&code));
        assert!(screen.contains("KV cache of"), "{without}: {screen}");
    }
    terminal.assert_sane();
}

#[test]
fn suspending_gives_the_shell_back_and_fg_brings_the_screen() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    terminal.start("");
    for _ in 0..2 {
        terminal.keys(&["C-z"]);
        terminal.wait("the shell", |screen| screen.contains("Stopped"));
        terminal.assert_sane();
        terminal.line("fg");
        terminal.wait("the screen", |screen| screen.contains("1 Map") && screen.contains("? help"));
    }
    // The same for an external signal.
    Command::new("kill")
        .args(["-TSTP", &terminal.child().to_string()])
        .status()
        .expect("kill runs");
    terminal.wait("the shell", |screen| screen.contains("Stopped"));
    terminal.assert_sane();
    terminal.line("fg");
    terminal.wait("the screen", |screen| screen.contains("1 Map"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("ready$") && !screen.contains("1 Map"));
    terminal.assert_sane();
}

#[test]
fn a_panic_of_the_interface_is_printed_on_a_restored_screen() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    terminal.line(&format!("{} --panic interface; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    let screen = terminal.wait("the shell", |screen| screen.contains("code=101"));
    assert!(screen.contains("on purpose: --panic interface"), "{screen}");
    terminal.assert_sane();
}

#[test]
fn a_panic_of_the_engine_is_shown_and_does_not_tear_the_screen() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    terminal.line(&format!("{} --panic engine; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    terminal.wait("the failure", |screen| {
        screen.contains("FAILED") && screen.contains("on purpose: --panic engine")
    });
    terminal.keys(&["5"]);
    terminal.wait("a living screen", |screen| screen.contains("? help"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn a_closed_terminal_ends_the_program() {
    let Some(terminal) = Terminal::new(100, 30) else { return };
    terminal.start("");
    let process = PathBuf::from(format!("/proc/{}", terminal.child()));
    assert!(process.exists());
    terminal.tmux(&["kill-session", "-t", "t"]);
    let end = Instant::now() + PATIENCE;
    while process.exists() {
        assert!(Instant::now() < end, "the inspector outlived its terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_recording_is_played_paused_and_stepped() {
    let Some(terminal) = Terminal::new(120, 40) else { return };
    terminal.start("--record session.jsonl --max-new 40");
    terminal.wait("the end", |screen| screen.contains("DONE"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.line("clear");
    terminal.line(&format!("{} replay session.jsonl; echo code=$?", env!("CARGO_BIN_EXE_kscope")));
    terminal.wait("the recording", |screen| screen.contains("test") || screen.contains("demo"));
    terminal.wait("its end", |screen| screen.contains("PAUSED"));
    terminal.keys(&["7"]);
    terminal.wait("all tokens", |screen| screen.contains("text · 40 tokens"));
    terminal.keys(&["<", "<"]);
    terminal.wait("two tokens fewer", |screen| screen.contains("text · 38 tokens"));
    terminal.keys(&[">"]);
    terminal.wait("one more", |screen| screen.contains("text · 39 tokens"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
    terminal.assert_sane();
}

#[test]
fn what_a_model_says_reaches_a_terminal_without_its_control_characters() {
    let Some(terminal) = Terminal::new(120, 30) else { return };
    let model = kscope_testing::vectors().join("gguf/llama-spm.gguf");
    let tokenizer = kscope_testing::models::load(&model, None).tokenizer.clone().unwrap();
    // An escape, the bell and a C1 control, as the bytes that the vocabulary has, between two words.
    let byte =
        |byte: u8| (0..).find(|&id| tokenizer.token_text(id) == char::from(byte).to_string());
    let ids: Vec<String> = [b'A', 0x1b, b'[', b'2', b'J', 7, b'B']
        .into_iter()
        .map(|b| byte(b).unwrap().to_string())
        .collect();
    let run = format!(
        "{} run -m {} --token-ids 5 --force-ids {}",
        env!("CARGO_BIN_EXE_kscope"),
        model.display(),
        ids.join(",")
    );
    terminal.line(&format!("{run} 2>/dev/null; echo code=$?"));
    let screen = terminal.wait("the end", |screen| screen.contains("code=0"));
    assert!(screen.contains(r"A\x1b[2J\x07B"), "{screen}");
    // A pipe gets the bytes.
    terminal.line(&format!("clear; {run} 2>/dev/null | od -An -c; echo piped=$?"));
    let screen = terminal.wait("the bytes", |screen| screen.contains("piped=0"));
    let bytes: Vec<&str> = screen.split_whitespace().collect();
    assert!(bytes.windows(4).any(|four| four == ["A", "033", "[", "2"]), "{screen}");
}

#[test]
fn a_terminal_that_cannot_draw_gets_lines_alone() {
    // script(1) is a terminal that writes down every byte.
    let shown = |term: &str| {
        let program = env!("CARGO_BIN_EXE_kscope");
        let run = format!("{program} run --prompt 'The code for' --max-new 3 --threads 1");
        let output = Command::new("script")
            .args(["-qec", &run, "/dev/null"])
            .env("TERM", term)
            .stdin(Stdio::null())
            .output()
            .expect("script");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(shown("xterm").contains('\x1b'), "a progress line is drawn");
    for term in ["", "dumb"] {
        let shown = shown(term);
        assert!(!shown.contains('\x1b') && !shown.is_empty(), "{term}: {shown:?}");
    }
}

#[test]
fn the_first_minute_tells_what_a_mask_does() {
    let Some(terminal) = Terminal::new(80, 24) else { return };
    terminal.tells_story("");
    terminal.start("");
    terminal.wait("both right", |screen| {
        screen.contains("1/4 What is the code for clover? It is 6983")
            && screen.contains("A says 6983: right   B says 6983: right")
    });
    terminal.keys(&["Enter"]);
    terminal.wait("one wrong", |screen| {
        screen.contains("2/4") && screen.contains("A says 6983: right   B says 2975: wrong")
    });
    terminal.keys(&["Enter"]);
    terminal.wait("the map", |screen| screen.contains("3/4 The mask, as it was"));
    terminal.keys(&["Enter"]);
    terminal.wait("Tune", |screen| screen.contains("4/4 Here you choose"));
    terminal.keys(&["Enter"]);
    terminal.wait("the end", |screen| !screen.contains("4/4"));
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("code=0"));
}
