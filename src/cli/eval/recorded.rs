//! The command that a file of results names.

use std::path::PathBuf;

use super::measure::MeasureArgs;

impl MeasureArgs {
    /// A command that makes the results of the whole run.
    pub(super) fn command(&self) -> String {
        use clap::ValueEnum;
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let mut words: Vec<String> = vec!["kscope".to_owned(), "eval".to_owned()];
        let mut say = |flag: &str, values: &[String]| {
            if !values.is_empty() {
                words.push(flag.to_owned());
                words.extend(values.iter().map(|value| quoted(value)));
            }
        };
        let paths = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        let model = &self.model;
        match &model.random_weights {
            Some(geometry) => say("--random-weights", std::slice::from_ref(geometry)),
            None => say("--model", std::slice::from_ref(&model.model)),
        }
        say("--layers", &model.layers.map(|n| n.to_string()).into_iter().collect::<Vec<_>>());
        say("--dtype", &model.dtype.map(|dtype| dtype.to_string()).into_iter().collect::<Vec<_>>());
        say("--mask", &self.mask);
        say("--plan", &self.plan);
        for (flag, value) in
            [("--sink", self.sink), ("--recent", self.recent), ("--chunk", self.chunk)]
        {
            say(flag, &value.map(|n| n.to_string()).into_iter().collect::<Vec<_>>());
        }
        say("--kv-dtype", &[self.kv_dtype.to_string()]);
        say("--suite", &[name(&|| self.suite.to_possible_value())]);
        let list = |list: Vec<String>| if list.is_empty() { list } else { vec![list.join(",")] };
        say("--tasks", &list(self.tasks.iter().map(|task| task.name().to_owned()).collect()));
        say("--ctx", &list(self.ctx.iter().map(usize::to_string).collect()));
        say("--samples", &[self.samples.to_string()]);
        say("--chunks", &[self.chunks.to_string()]);
        say("--protocol", &[name(&|| self.protocol.to_possible_value())]);
        say("--text", &self.text);
        say("--data", &paths(&self.data));
        say("--prompts", &paths(self.prompts.as_slice()));
        say("--base", &paths(self.base.as_slice()));
        say("--seed", &[self.seed.to_string()]);
        words.join(" ")
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-,:=+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
