//! Two programs that write one thing, and a learning that is asked to stop.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kscope::element::Dtype;
use kscope::learn::data;
use kscope::learn::run::{LearnEvent, LearnMethod};
use kscope::learn::train::Settings;
use kscope::learn::worker::{Learner, Order, Told};
use kscope::model::Model;
use kscope::model::load::{Opened, Source};
use kscope_testing::demo;

use super::{learn, names, program, quick, refused, text};

/// Waits until something holds, for a minute.
#[track_caller]
fn wait(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn long_learning(home: &Path) -> Child {
    let mut first = program(home);
    first.args(learn(["5000", "2"], &["--out", "m.safetensors"]));
    first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
#[cfg(unix)]
fn one_learning_at_a_time_has_a_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let mut first = long_learning(home.path());
    wait("the first learning", || home.path().join("m.learning").is_dir());
    for more in
        [vec!["--out", "m.safetensors"], vec!["--out", "o.safetensors", "--resume", "m.learning"]]
    {
        let second = program(home.path()).args(learn(["5000", "2"], &more)).output().unwrap();
        refused(&second, 2, "m.learning is in use: another kscope is learning there");
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // A killed program holds no lock.
    let third = program(home.path()).args(quick(&["--out", "m.safetensors"])).output().unwrap();
    assert!(third.status.success(), "{}", text(&third.stderr));
}

#[test]
#[cfg(unix)]
fn a_learning_that_is_stopped_says_whether_it_can_go_on() {
    let home = tempfile::tempdir().unwrap();
    let child = long_learning(home.path());
    wait("the learning", || home.path().join("m.learning").is_dir());
    signal(&child, "-TERM");
    let ended = child.wait_with_output().unwrap();
    refused(&ended, 1, "learning was stopped");
    if text(&ended.stderr).contains("before its first update") {
        assert!(names(home.path()).is_empty(), "{:?}", names(home.path()));
    } else {
        assert!(home.path().join("m.learning/state.safetensors").is_file());
    }
}

#[test]
#[cfg(unix)]
fn one_evaluation_at_a_time_writes_a_file_of_results() {
    let home = tempfile::tempdir().unwrap();
    let eval = [
        "eval",
        "--plan",
        "k8v8",
        "--suite",
        "recall",
        "--tasks",
        "niah_single_1",
        "--ctx",
        "512",
        "--samples",
        "200",
        "--threads",
        "1",
        "--out",
        "r",
    ];
    let start = |stderr: Stdio| {
        program(home.path()).args(eval).stdout(Stdio::null()).stderr(stderr).spawn()
    };
    let mut first = start(Stdio::null()).unwrap();
    wait("the first result", || {
        std::fs::read_to_string(home.path().join("r/results.jsonl"))
            .is_ok_and(|text| text.lines().count() > 1)
    });
    let second = start(Stdio::piped()).unwrap().wait_with_output().unwrap();
    refused(&second, 2, "r/results.jsonl is in use: another kscope eval");
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Learns until the first update, or to the end of the resumed learning; what it ended with.
fn learned(model: &Arc<Model>, home: &Path, resume: bool) -> Told {
    let order = Order {
        generation: 1,
        method: LearnMethod::Leank,
        haystack: vec![home.join("text.txt")],
        settings: Settings {
            steps: 6,
            mask_steps: 1,
            accumulate: 1,
            ..Settings::for_sparsity(0.5)
        },
        lengths: (220, 260),
        windows: 2,
        pool: 2,
        check_prompts: 0,
        resume,
        out: home.join("m.safetensors"),
    };
    let (learner, mut notices) = Learner::spawn(Arc::clone(model), order).unwrap();
    let mut last = None;
    while let Some(notice) = notices.blocking_recv() {
        if !resume && matches!(notice.told, Told::Going(LearnEvent::Update(_))) {
            learner.cancel();
        }
        last = Some(notice.told);
    }
    last.unwrap()
}

#[test]
fn a_checkpoint_belongs_to_its_weights_and_texts() {
    let home = tempfile::tempdir().unwrap();
    let sentences = data::source(data::SENTENCES).unwrap();
    let text: Vec<&str> = sentences.text()[..30_000].split_inclusive(". ").collect();
    let write =
        |text: &[&str]| std::fs::write(home.path().join("text.txt"), text.concat()).unwrap();
    let model = demo();
    write(&text);
    assert!(matches!(learned(&model, home.path(), false), Told::Cancelled { resumes: true }));
    let refused = |told: Told, what: &str| match told {
        Told::Failed(sentence) => {
            assert!(sentence.contains("belongs to another learning"), "{what}: {sentence}");
        }
        other => panic!("{what}: {other:?}"),
    };
    // As long as the first, under the same name.
    let mut other = text.clone();
    other.rotate_left(1);
    write(&other);
    refused(learned(&model, home.path(), true), "another text");
    write(&text);
    let rounded = Opened::open(&Source::Demo).unwrap();
    let rounded = Arc::new(rounded.load(Some(Dtype::Bf16), &mut |_| Ok(())).unwrap());
    refused(learned(&rounded, home.path(), true), "other weights");
    assert!(matches!(learned(&model, home.path(), true), Told::Done(_)));
}
