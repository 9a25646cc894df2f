//! What is offered for a typed path, and how it is completed.

use super::*;

fn listing() -> Listing {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Listing {
        folders: names(&[".git", "masks", "models"]),
        files: names(&["mask-a.safetensors", "mask-b.safetensors", "märz.tsv", "notes.txt"]),
        fetched: names(&["smollm2-135m"]),
        is_cut: false,
        trouble: None,
    }
}

fn prompt(purpose: PathFor, typed: &str) -> PathPrompt {
    let mut prompt = PathPrompt::new(purpose, typed);
    let folder = prompt.ask().expect("the first time");
    assert_eq!(prompt.ask(), None, "a folder is read once");
    prompt.take(folder, listing());
    prompt
}

fn texts(prompt: &PathPrompt) -> Vec<String> {
    prompt.candidates(&RecentFiles::default()).into_iter().map(|one| one.text).collect()
}

#[test]
fn folders_and_files_that_can_be_meant_are_offered() {
    assert_eq!(
        texts(&prompt(PathFor::Open, "x/ma")),
        ["x/masks/", "x/mask-a.safetensors", "x/mask-b.safetensors"]
    );
    assert_eq!(texts(&prompt(PathFor::Open, "x/.")), ["x/.git/"]);
    assert_eq!(texts(&prompt(PathFor::Save, "~/mä")), [""; 0], "no .tsv is saved here");
    let many = prompt(PathFor::Learn(Field::Haystack), "a.txt, x/n");
    assert_eq!(texts(&many), ["a.txt, x/notes.txt"]);
}

#[test]
fn tab_completes_what_all_agree_on_and_then_selects() {
    let mut open = prompt(PathFor::Open, "x/mas");
    open.complete(&RecentFiles::default());
    assert_eq!(open.list.input.value(), "x/mask");
    let selects = |open: &mut PathPrompt| {
        open.complete(&RecentFiles::default());
        open.list.selected
    };
    // The typed text, a folder, two files, and around again.
    assert_eq!([(); 4].map(|()| selects(&mut open)), [1, 2, 3, 1]);
    let mut many = prompt(PathFor::Learn(Field::Haystack), "a.txt, x/n");
    many.complete(&RecentFiles::default());
    assert_eq!(many.list.input.value(), "a.txt, x/notes.txt");
    let mut accents = prompt(PathFor::Open, "x/m\u{e4}");
    accents.complete(&RecentFiles::default());
    assert_eq!(accents.list.input.value(), "x/m\u{e4}rz.tsv");
}

#[test]
fn a_tilde_is_completed_to_the_home_folder() {
    for (typed, becomes) in [("~", "~/"), ("a.txt, ~", "a.txt, ~/")] {
        let mut prompt = prompt(PathFor::Learn(Field::Haystack), typed);
        prompt.complete(&RecentFiles::default());
        assert_eq!(prompt.list.input.value(), becomes);
        let folder = prompt.ask();
        assert_eq!(folder.as_deref(), Some("~/"), "its entries are asked for");
        prompt.take("~/".to_owned(), listing());
        assert!(texts(&prompt).contains(&format!("{becomes}masks/")), "{:?}", texts(&prompt));
    }
    let open = prompt(PathFor::Open, "~").typed().expect("typed");
    assert!(open.is_folder && open.text == "~/", "{open:?}");
}

/// A folder, and a file that is not there, were once to be decoded with.
#[test]
fn only_what_is_there_is_said_to_be_taken() {
    let row = |purpose, typed: &str| prompt(purpose, typed).typed().expect("typed");
    let file = row(PathFor::Open, "x/mask-a.safetensors");
    assert_eq!(file.about, PathFor::Open.about());
    for folder in ["masks", "x/masks", "x/masks/", ".", "x/.."] {
        let own = row(PathFor::Open, folder);
        assert!(own.is_folder && own.text.ends_with('/'), "{own:?}");
        assert!(own.about.starts_with("a folder"), "{own:?}");
    }
    for purpose in [PathFor::Open, PathFor::Diff, PathFor::Model] {
        let missing = row(purpose, "x/nothing.safetensors");
        assert_eq!(
            (missing.about.as_str(), missing.is_folder),
            ("there is no such file or name", false)
        );
    }
    assert_eq!(row(PathFor::Open, "k8v4").about, PathFor::Open.about(), "a name");
    assert_eq!(row(PathFor::Model, "masks").about, PathFor::Model.about(), "of a model");
    assert_eq!(row(PathFor::Save, "x/new.safetensors").about, PathFor::Save.about());
    // Of a folder that was not read nothing is said.
    let unread = PathPrompt::new(PathFor::Open, "y/nothing").typed().expect("typed");
    assert_eq!(unread.about, PathFor::Open.about());
    // The folder is one row, and not a second one below it.
    assert_eq!(texts(&prompt(PathFor::Open, "x/masks")), [""; 0]);
}

/// "take these", it said of a path that Enter refused.
#[test]
fn texts_that_are_not_there_are_not_said_to_be_taken() {
    let about = |purpose, typed: &str| prompt(purpose, typed).typed().expect("typed").about;
    let (haystack, texts) = (PathFor::Learn(Field::Haystack), PathFor::Eval(EvalField::Text));
    for purpose in [haystack, texts] {
        for missing in ["x/nothing", "nothing.txt", "x/notes.txt, x/nothing.txt"] {
            assert_eq!(about(purpose, missing), "there is no such file or folder", "{missing}");
        }
        for there in ["x/notes.txt", "x/masks", "x/masks, x/notes.txt", "x/", "."] {
            assert_eq!(about(purpose, there), "take these", "{there}");
        }
    }
    // Texts of an evaluation have names; those that are learned from are files.
    assert_eq!(about(texts, SENTENCES), "take these");
    assert_eq!(about(texts, &format!("x/notes.txt, {}", DOMAINS[0].name)), "take these");
    assert_eq!(about(haystack, SENTENCES), "there is no such file or folder");
}

#[test]
fn what_another_folder_holds_is_not_offered() {
    let mut open = PathPrompt::new(PathFor::Open, "a/");
    let folder = open.ask().expect("new");
    open.list.input = Input::from("b/".to_owned());
    open.ask();
    open.take(folder, listing());
    assert_eq!(texts(&open), [""; 0]);
}

#[test]
fn recent_files_come_first_and_names_are_completed() {
    let recent = RecentFiles { plans: vec!["/far/k.safetensors".to_owned()], models: Vec::new() };
    let mut open = prompt(PathFor::Open, "k");
    let all = open.candidates(&recent);
    assert_eq!(all[0].text, "/far/k.safetensors");
    assert!(all.iter().any(|one| one.text == "k8v4"));
    open.list.input = Input::from("non".to_owned());
    open.complete(&recent);
    assert_eq!(open.list.input.value(), "none");
    let model = prompt(PathFor::Model, "smol");
    assert!(texts(&model).contains(&"smollm2-135m".to_owned()), "{:?}", texts(&model));
}

#[test]
fn which_models_are_fetched_is_told_by_who_reads_folders() {
    let mut model = PathPrompt::new(PathFor::Model, "smollm2-135m");
    let about = |prompt: &PathPrompt| {
        let all = PathPrompt { list: List::default(), ..prompt.clone() };
        let all = all.candidates(&RecentFiles::default());
        let own = all.into_iter().find(|one| one.text == "smollm2-135m");
        own.expect("a name that is known").about
    };
    assert_eq!(about(&model), "a model that kscope fetches", "nobody has looked yet");
    let folder = model.ask().expect("the first time");
    model.take(folder.clone(), Listing::default());
    assert_eq!(about(&model), "not fetched yet");
    model.take(folder, listing());
    assert_eq!(about(&model), "fetched");
}

#[test]
fn words_of_the_palette_lead_here() {
    assert_eq!(PathFor::of("open ~/a b"), Some((PathFor::Open, "~/a b")));
    assert_eq!(PathFor::of("save-as x"), Some((PathFor::Save, "x")));
    assert_eq!(PathFor::of("export svg "), Some((PathFor::Export(ExportFormat::Svg), "")));
    assert_eq!(PathFor::of("export gif x"), None);
    assert_eq!(PathFor::of("open"), None);
}
