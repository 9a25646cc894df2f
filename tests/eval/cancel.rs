//! A run of the inspector is cancelled at any moment of a suite, and goes on to the same bytes.

use std::path::Path;
use std::sync::Arc;

use kscope::element::Dtype;
use kscope::eval::prompt::Protocol;
use kscope::eval::recall::RecallTask;
use kscope::eval::run::Suite;
use kscope::eval::worker::{EvalOrder, EvalTold, Evaluator};
use kscope::mask::{CachePlan, Window};
use kscope::model::Model;
use kscope::random::SplitMix64;
use kscope_testing::{demo, root};

use super::read;

fn order(model: &Model, suite: Suite, out: &Path) -> EvalOrder {
    let docs = root().join("docs");
    let plan = CachePlan::named("k4v4", model.config().mask_shape()).unwrap();
    EvalOrder {
        generation: 1,
        suite,
        tasks: vec![RecallTask::ALL[0]],
        ctx: vec![512],
        samples: 4,
        chunks: 2,
        protocol: Protocol::After,
        seed: 5,
        masks: vec![("k4v4".to_owned(), plan)],
        window: Window { sink: 4, recent: 32, chunk: 32 },
        kv_dtype: Dtype::F32,
        texts: ["ARCHITECTURE.md", "EVAL.md"]
            .map(|name| docs.join(name).display().to_string())
            .into(),
        out: Some(out.to_owned()),
    }
}

/// Runs until so many news are here, then cancels. Gives the news in all, and whether it was done.
fn evaluate(model: &Arc<Model>, order: EvalOrder, most: usize) -> (usize, bool) {
    let (evaluator, mut news) = Evaluator::spawn(Arc::clone(model), order).unwrap();
    let mut heard = 0;
    if most == 0 {
        evaluator.cancel();
    }
    loop {
        let told = news.blocking_recv().expect("the last news say how it ended").told;
        heard += 1;
        match told {
            EvalTold::Done(_) => return (heard, true),
            EvalTold::Cancelled => return (heard, false),
            EvalTold::Failed(sentence) | EvalTold::Panicked(sentence) => panic!("{sentence}"),
            _ if heard == most => evaluator.cancel(),
            _ => {}
        }
    }
}

#[test]
fn a_cancelled_run_goes_on_to_the_same_bytes() {
    let model = demo();
    let mut random = SplitMix64::new(9);
    for suite in [Suite::Recall, Suite::Text, Suite::Stability] {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        let (all, done) = evaluate(&model, order(&model, suite, &whole), usize::MAX);
        assert!(done && all > 1, "{suite:?}: {all}");
        let expected = read(&whole);
        let mut cancelled = 0;
        for round in 0..3 {
            let out = folder.path().join(format!("cut{round}"));
            for _ in 0..2 {
                let (_, done) = evaluate(&model, order(&model, suite, &out), random.below(all));
                cancelled += usize::from(!done);
                let path = out.join("results.jsonl");
                let found = std::fs::read_to_string(path).unwrap_or_default();
                assert!(expected.starts_with(&found), "{suite:?}: what is there is the beginning");
            }
            let (_, done) = evaluate(&model, order(&model, suite, &out), usize::MAX);
            assert!(done, "{suite:?}");
            assert_eq!(read(&out), expected, "{suite:?}");
        }
        println!("{suite:?}: {all} news, {cancelled} of 6 cancelled");
        assert!(cancelled > 0, "{suite:?}: nothing was cancelled");
    }
}
