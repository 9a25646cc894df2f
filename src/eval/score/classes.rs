//! Naming a class, LongBench's `classification_score`.

/// One over the number of classes that the prediction names, if the truth is among them. Names
/// inside the truth's own name are taken off while the list is walked, so that the one after each is
/// skipped: as the original does it.
pub(super) fn named(prediction: &str, truth: &str, classes: &[String]) -> f64 {
    let mut named: Vec<&str> =
        classes.iter().map(String::as_str).filter(|class| prediction.contains(class)).collect();
    let mut at = 0;
    while at < named.len() {
        let class = named[at];
        if truth.contains(class) && class != truth {
            let first = named.iter().position(|other| *other == class).expect("it is there");
            named.remove(first);
        }
        at += 1;
    }
    if named.contains(&truth) { 1.0 / named.len() as f64 } else { 0.0 }
}
