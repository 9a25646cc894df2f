//! Learning on its own thread: important notices always arrive, it can be cancelled, and it resumes
//! where it stopped.

use std::path::Path;
use std::sync::Arc;

use kscope::learn::run::{LearnEvent, LearnMethod};
use kscope::learn::train::{Settings, Stage};
use kscope::learn::worker::{Done, Learner, Notice, Order, Told};
use kscope::mask::files::{self, Contents, Split};
use kscope::model::Model;
use kscope_testing::demo;

fn order(out: &Path) -> Order {
    Order {
        generation: 7,
        method: LearnMethod::Leank,
        haystack: Vec::new(),
        settings: Settings { steps: 8, mask_steps: 3, ..Settings::for_sparsity(0.5) },
        lengths: (220, 300),
        windows: 2,
        pool: 3,
        check_prompts: 1,
        resume: false,
        out: out.to_owned(),
    }
}

/// All notices until the end; `after` may cancel.
fn told(model: &Arc<Model>, order: Order, after: impl Fn(&Learner, &Told)) -> Vec<Notice> {
    let (learner, mut notices) = Learner::spawn(Arc::clone(model), order).unwrap();
    let mut all = Vec::new();
    while let Some(notice) = notices.blocking_recv() {
        after(&learner, &notice.told);
        all.push(notice);
    }
    all
}

fn updates(notices: &[Notice]) -> Vec<(Stage, usize)> {
    let update = |notice: &Notice| match &notice.told {
        Told::Going(LearnEvent::Update(update)) => Some((update.stage, update.step)),
        _ => None,
    };
    notices.iter().filter_map(update).collect()
}

fn done(notices: &[Notice]) -> &Done {
    match &notices.last().unwrap().told {
        Told::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_learning_tells_every_update_and_ends_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.safetensors");
    let notices = told(&demo(), order(&out), |_, _| ());
    assert!(notices.iter().all(|notice| notice.generation == 7));
    let all =
        (0..8).map(|step| (Stage::Importance, step)).chain((0..3).map(|step| (Stage::Mask, step)));
    assert_eq!(updates(&notices), all.collect::<Vec<_>>());
    let has = |is: fn(&LearnEvent) -> bool| {
        notices.iter().any(|notice| matches!(&notice.told, Told::Going(event) if is(event)))
    };
    assert!(has(|event| matches!(event, LearnEvent::Dense(tasks) if !tasks.is_empty())));
    assert!(
        has(|event| matches!(event, LearnEvent::Validated { .. }))
            && has(|event| matches!(event, LearnEvent::Factors(_)))
    );
    let done = done(&notices);
    assert!(done.verdict.is_some() && done.rows.len() == 15);
    let Contents::Mask(file) = files::read(&out, &Split::default()).unwrap() else {
        panic!("a mask")
    };
    assert_eq!((file.mask(), &file.importance), (done.file.mask(), &done.file.importance));
}

#[test]
fn a_cancelled_learning_goes_on_to_the_same_mask() {
    let folder = tempfile::tempdir().unwrap();
    let model = demo();
    let (whole, cut) =
        (folder.path().join("whole.safetensors"), folder.path().join("cut.safetensors"));
    let whole = told(&model, Order { check_prompts: 0, ..order(&whole) }, |_, _| ());
    let first = told(&model, order(&cut), |learner, told| {
        if matches!(told, Told::Going(LearnEvent::Update(update)) if update.step == 3) {
            learner.cancel();
        }
    });
    assert!(
        matches!(first.last().unwrap().told, Told::Cancelled { resumes: true }),
        "{:?}",
        first.last().unwrap().told
    );
    assert!(!cut.exists(), "a cancelled learning leaves no mask");
    let rest = told(&model, Order { resume: true, check_prompts: 0, ..order(&cut) }, |_, _| ());
    let (before, after) = (updates(&first), updates(&rest));
    assert!(before.len() >= 4 && before.len() < 8, "{before:?}");
    let last = |updates: &[(Stage, usize)]| updates.last().copied();
    // The update in progress at the time of the cancel is finished and saved, but not reported.
    assert!(after[0].1 <= before.len() + 1 && last(&after) == Some((Stage::Mask, 2)), "{after:?}");
    assert_eq!(done(&rest).file.importance, done(&whole).file.importance);
    // Dropping the learner cancels too, without waiting.
    let (learner, mut notices) = Learner::spawn(Arc::clone(&model), order(&cut)).unwrap();
    drop(learner);
    let last = std::iter::from_fn(|| notices.blocking_recv()).last().unwrap();
    // Nothing was learned yet, and the checkpoint of another learning must not seem to be of this one.
    assert!(matches!(last.told, Told::Cancelled { resumes: false }));
}

#[test]
fn what_cannot_be_learned_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let model = demo();
    let base = order(&folder.path().join("mask.safetensors"));
    let settings = |sparsity| Settings { sparsity, ..base.settings.clone() };
    for (order, word) in [
        (Order { haystack: vec!["nowhere.txt".into()], ..base.clone() }, "nowhere.txt"),
        (Order { settings: settings(1.5), ..base.clone() }, "sparsity"),
        (Order { lengths: (512, 1 << 20), ..base.clone() }, "context"),
        (Order { resume: true, ..base.clone() }, "state.safetensors"),
        (
            Order { method: LearnMethod::Sensitivity, resume: true, ..base.clone() },
            "has no checkpoint",
        ),
    ] {
        let notices = told(&model, order, |_, _| ());
        let Told::Failed(sentence) = &notices.last().unwrap().told else {
            panic!("{:?}", notices.last())
        };
        assert!(sentence.contains(word), "{sentence}");
    }
}

#[test]
fn a_measurement_tells_its_samples_and_ends_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.safetensors");
    let notices = told(
        &demo(),
        Order { method: LearnMethod::Sensitivity, check_prompts: 0, ..order(&out) },
        |_, _| (),
    );
    assert_eq!(updates(&notices), [], "there is nothing to update");
    let samples = |notice: &Notice| match &notice.told {
        Told::Going(LearnEvent::Prefill(done, all)) => Some((*done, *all)),
        _ => None,
    };
    let samples: Vec<_> = notices.iter().filter_map(samples).collect();
    // Two windows and eight recall prompts.
    assert_eq!(samples, (0..=10).map(|done| (done, 10)).collect::<Vec<_>>());
    let done = done(&notices);
    assert!(done.file.sensitivity.is_some() && done.verdict.is_none());
    let Contents::Mask(file) = files::read(&out, &Split::default()).unwrap() else {
        panic!("a mask")
    };
    assert_eq!((file.mask(), &file.sensitivity), (done.file.mask(), &done.file.sensitivity));
    assert_eq!(file.origin.recipe["method"], "sensitivity");
    assert!(!out.with_extension("learning").join("state.safetensors").exists());
}
