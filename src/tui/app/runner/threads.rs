//! Work on threads of its own: learning, evaluation, sensitivity.

use super::Runner;
use crate::eval::worker::{EvalNews, EvalOrder, EvalTold, Evaluator};
use crate::learn::estimate::{Pace, estimate_run};
use crate::learn::sensitivity::worker::{Sensed, Sensing};
use crate::learn::worker::{Learner, Notice, Order, Told};
use crate::machine;
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::folders::{expanded, expanded_path};

impl Runner<'_> {
    /// Starts a learning run. If it cannot start, the notice is the same as for one that failed.
    pub(super) fn learn(&mut self, mut order: Order, replaces: bool) {
        let generation = order.generation;
        order.out = expanded_path(&order.out);
        order.haystack.iter_mut().for_each(|path| *path = expanded_path(path));
        if order.out.is_file() && !replaces {
            let path = order.out.clone();
            let sentence = format!("{} stays: type another name under out", path.display());
            let otherwise = Some(Box::new(Effect::LeaveLearning(generation, sentence)));
            let then = Box::new(Effect::LearnOver(Box::new(order)));
            self.tell(Action::Taken { path, then, otherwise });
            return;
        }
        match self.model("learn on").and_then(|model| Learner::spawn(model, order)) {
            Ok(learning) => self.learning = Some(learning),
            Err(error) => {
                let notice =
                    Notice { generation, dropped: 0, told: Told::Failed(error.to_string()) };
                self.tell(Action::Learning(Box::new(notice)));
            }
        }
    }

    /// Estimates what a run of learning takes.
    pub(super) fn estimate(&mut self, order: &Order, pace: &Pace) {
        let Ok(model) = self.model("learn on") else { return };
        let (config, free) = (model.config(), machine::available_bytes());
        let estimate = estimate_run(config, pace, order);
        self.tell(Action::Estimated(estimate, free));
    }

    /// Starts an evaluation. If it cannot start, the news is that it failed.
    pub(super) fn evaluate(&mut self, mut order: EvalOrder) {
        let generation = order.generation;
        order.out = order.out.map(|out| expanded_path(&out));
        for text in &mut order.texts {
            *text = expanded(text).to_string_lossy().into_owned();
        }
        match self.model("evaluate").and_then(|model| Evaluator::spawn(model, order)) {
            Ok(evaluating) => self.evaluating = Some(evaluating),
            Err(error) => {
                let news = EvalNews { generation, told: EvalTold::Failed(error.to_string()) };
                self.tell(Action::Evaluating(Box::new(news)));
            }
        }
    }

    /// Starts a measurement of sensitivity. If it cannot start, the news is that it failed.
    pub(super) fn sense(&mut self, text: String) {
        match self.model("measure").and_then(|model| Sensing::spawn(model, text)) {
            Ok(sensing) => self.sensing = Some(sensing),
            Err(error) => {
                let failed = Sensed::Failed(error.to_string());
                self.tell(Action::Sensing(Box::new(failed)));
            }
        }
    }
}
