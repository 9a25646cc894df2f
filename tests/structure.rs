//! Checks the code against docs/ARCHITECTURE.md: imports run downwards, modules form no cycles, and
//! `unsafe` is only used where it is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first. Modules of one layer may import each other where no cycle arises.
const LAYERS: &[&[&str]] = &[
    &[
        "element",
        "error",
        "input_file",
        "json_keys",
        "json_lines",
        "machine",
        "mask",
        "numbers",
        "printable",
        "random",
        "schema",
        "spread",
    ],
    &["cache", "attention"],
    &["model"],
    &["decode"],
    &["bench", "capacity", "eval", "learn"],
    &["tui"],
    &["cli"],
];

/// Where `unsafe` is allowed: vector kernels, mapping files, and what signals and closed streams need
/// of the system.
const UNSAFE: &[&str] = &[
    "src/attention/",
    "src/cli/closed.rs",
    "src/model/host/ahead.rs",
    "src/model/host/quant/x86.rs",
    "src/model/load/bytes.rs",
    "src/tui/app/fatal.rs",
];

/// Words that the code of a module must not contain.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("mask", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("cache", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("attention", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("model", &["ratatui", "crossterm"]),
    ("decode", &["ratatui", "crossterm"]),
    ("bench", &["ratatui::", "crossterm::terminal"]),
    ("capacity", &["candle_core", "ratatui", "crossterm"]),
    ("eval", &["ratatui", "crossterm"]),
    ("learn", &["ratatui", "crossterm"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Lines of code of a file: without comments and its own tests.
fn code(path: &Path) -> String {
    code_of(&std::fs::read_to_string(path).unwrap())
}

/// Lines of code: without comments, the line that declares a file of tests, and the module of tests
/// that ends a file.
fn code_of(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if ["#[cfg(test)]", "#[cfg(all(test, unix))]"].contains(&line) {
            match lines.peek() {
                Some(&"mod tests {") => break,
                Some(&"mod tests;") => {
                    lines.next();
                    continue;
                }
                _ => {}
            }
        }
        code.push(line.split("//").next().unwrap());
    }
    code.join("\n")
}

/// Whether code contains a word.
fn holds(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Whether code names the parent of its parent, however it is spelt.
fn climbs(code: &str) -> bool {
    let code: String = code.split_whitespace().collect();
    let in_braces = |list: &str| {
        let mut depth = 0;
        let mut before = '{';
        list.char_indices().any(|(at, c)| {
            let starts = matches!(before, '{' | ',') && list[at..].starts_with("super::");
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            before = c;
            starts && depth >= 0
        })
    };
    code.contains("super::super")
        || code.match_indices("super::{").any(|(at, start)| {
            // Up to the brace that ends the list, or the statement.
            let list = &code[at + start.len()..];
            in_braces(&list[..list.find(';').unwrap_or(list.len())])
        })
}

/// Names of the types that a file declares for others, in its parent or wider.
fn public_types(text: &str) -> Vec<String> {
    let declared = |line: &str| {
        let rest = line.trim_start().strip_prefix("pub")?;
        let rest = match rest.strip_prefix('(') {
            Some(place) => place.split_once(')')?.1,
            None => rest,
        };
        let mut words = rest.strip_prefix(' ')?.split_whitespace();
        matches!(words.next()?, "struct" | "enum" | "trait" | "type").then_some(())?;
        Some(words.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
    };
    text.lines().filter_map(declared).collect()
}

/// The modules that a piece of code names: `crate::module` and `crate::{module, ...}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            None => vec![rest],
            Some(list) => {
                // Names at the first level of the braces.
                let mut depth = 0;
                let mut start = 0;
                let mut names = Vec::new();
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            names.push(list[start..i].trim());
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.push(list[start..i].trim());
                            start = i + 1;
                        }
                        _ => {}
                    }
                }
                names
            }
        };
        for name in names {
            let word: String =
                name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if word.chars().next().is_some_and(char::is_lowercase) {
                found.insert(word);
            }
        }
    }
    found
}

fn all_modules() -> BTreeMap<String, BTreeSet<String>> {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(&root().join("src")) {
        let name = module(&path);
        if name == "lib" || name == "main" {
            continue;
        }
        let own = modules.entry(name.clone()).or_default();
        own.extend(
            imports(&code(&path))
                .into_iter()
                .filter(|import| *import != name && layer(import).is_some()),
        );
    }
    modules
}

/// Names of tests in a document: in backticks, with an underscore, and of four words or more.
fn named_tests(document: &str) -> Vec<&str> {
    let quoted = document.split('`').skip(1).step_by(2);
    let names = quoted.flat_map(|text| text.split([' ', ':'])).filter(|name| {
        name.matches('_').count() >= 3
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    });
    // Keys of configurations.
    let keys = ["original_max_position_embeddings", "model_specific_special_tokens"];
    names.filter(|name| !keys.contains(name)).collect()
}

/// The text of every Rust file in these folders.
fn text_of(folders: &[&str]) -> String {
    let files = folders.iter().flat_map(|folder| sources(&root().join(folder)));
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Whether there is a test of this name.
fn is_a_test(sources: &str, name: &str) -> bool {
    let places =
        sources.match_indices(&format!("fn {name}(")).map(|(at, _)| at).collect::<Vec<_>>();
    places.into_iter().any(|at| {
        // The attributes before it, at most three.
        sources[..at].lines().rev().take(4).any(|line| line.trim() == "#[test]")
    })
}

#[test]
fn the_tests_that_documents_name_exist() {
    let sources = text_of(&["src", "tests"]);
    for (document, least) in [("COMPATIBILITY", 60), ("RELIABILITY", 20)] {
        let path = root().join("docs").join(document).with_extension("md");
        let text = std::fs::read_to_string(path).unwrap();
        let names = named_tests(&text);
        assert!(names.len() > least, "{document}: {}", names.len());
        for name in names {
            assert!(is_a_test(&sources, name), "{document}: no test {name}");
        }
    }
}

#[test]
fn every_dependency_is_used() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let target = &manifest["target"]["cfg(unix)"];
    let own = text_of(&["src"]);
    let all = text_of(&["src", "tests", "kernels", "fuzz"]);
    let mut seen = 0;
    for (table, text) in [
        (&manifest["dependencies"], &own),
        (&target["dependencies"], &own),
        (&manifest["dev-dependencies"], &all),
    ] {
        for name in table.as_table().unwrap().keys() {
            seen += 1;
            // Only switches on a feature for candle, which uses it.
            if name == "gemm" {
                continue;
            }
            assert!(holds(text, &name.replace('-', "_")), "nothing uses the dependency {name}");
        }
    }
    assert!(seen > 30, "{seen}");
}

/// Nothing else compiles what the build script does for feature `cuda`.
#[test]
fn what_the_build_script_uses_is_declared() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    assert!(code(&root().join("kernels/stubs.rs")).contains("cc::Build"));
    assert!(manifest["build-dependencies"].as_table().unwrap().contains_key("cc"));
    let switched = manifest["features"]["cuda"].as_array().unwrap();
    assert!(switched.iter().any(|on| on.as_str() == Some("dep:cc")), "{switched:?}");
}

#[test]
fn every_module_has_a_layer() {
    for module in all_modules().keys() {
        assert!(layer(module).is_some(), "src/{module} is in no layer of tests/structure.rs");
    }
}

#[test]
fn imports_run_downwards() {
    let modules = all_modules();
    assert!(
        modules["model"].contains("cache") && modules["attention"].contains("cache"),
        "no import was found where there are some"
    );
    for (module, imports) in &modules {
        for import in imports {
            assert!(
                layer(import) <= layer(module),
                "{module} imports {import}, which is in a higher layer"
            );
        }
    }
}

/// A module that imports itself through others.
fn circle(modules: &BTreeMap<String, BTreeSet<String>>) -> Option<&String> {
    fn reaches(
        modules: &BTreeMap<String, BTreeSet<String>>,
        from: &str,
        to: &str,
        seen: &mut BTreeSet<String>,
    ) -> bool {
        modules.get(from).is_some_and(|imports| {
            imports.iter().any(|next| {
                next == to || (seen.insert(next.clone()) && reaches(modules, next, to, seen))
            })
        })
    }
    modules.keys().find(|module| reaches(modules, module, module, &mut BTreeSet::new()))
}

#[test]
fn modules_of_one_layer_form_no_cycle() {
    assert_eq!(circle(&all_modules()), None, "this module imports itself through other modules");
}

#[test]
fn unsafe_code_stays_where_it_may_be() {
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let allowed = UNSAFE.iter().any(|place| inside.starts_with(place));
        assert!(allowed || !holds(&code(&path), "unsafe"), "{inside} contains `unsafe`");
    }
}

/// Whether a file holds nothing but tests.
fn is_test_file(path: &Path) -> bool {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let name = inside.file_stem().unwrap().to_string_lossy();
    let folders = inside.parent().unwrap();
    name == "tests"
        || name.ends_with("_tests")
        || folders
            .iter()
            .any(|folder| folder == "tests" || folder.to_string_lossy().ends_with("_tests"))
}

#[test]
fn no_module_climbs_out_of_its_parent() {
    let climbers: Vec<String> = sources(&root().join("src"))
        .iter()
        .filter(|path| !is_test_file(path) && climbs(&code(path)))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert!(
        climbers.is_empty(),
        "`super::super` where a path from `crate` belongs:\n{}",
        climbers.join("\n")
    );
}

#[test]
fn the_oracle_is_plain() {
    let oracle = code(&root().join("src/attention/oracle.rs"));
    for word in ["unsafe", "rayon", "core::arch", "std::arch"] {
        assert!(!oracle.contains(word), "the oracle holds `{word}`");
    }
}

#[test]
fn modules_know_nothing_above_them() {
    for path in sources(&root().join("src")) {
        let name = module(&path);
        let code = code(&path);
        for (_, words) in FORBIDDEN.iter().filter(|(module, _)| *module == name) {
            for word in *words {
                assert!(!code.contains(word), "{} names {word}", path.display());
            }
        }
    }
}

#[test]
fn one_version_of_each_shared_dependency() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let shared = [
        "ratatui",
        "ratatui-core",
        "crossterm",
        "tokenizers",
        "safetensors",
        "half",
        "candle-core",
        "gemm",
        "pulp",
    ];
    for name in shared {
        let count = lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
        assert_eq!(count, 1, "Cargo.lock holds {count} versions of {name}");
    }
}

#[test]
fn no_two_public_types_share_a_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        for name in public_types(&std::fs::read_to_string(&path).unwrap()) {
            places.entry(name).or_default().push(inside.clone());
        }
    }
    assert!(places.contains_key("ChannelMask"), "no type was found where there are some");
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "one name, several public types: {places:#?}");
}

/// What the tests above read is seen wherever it stands in a file, also below the declaration of
/// its tests.
#[test]
fn defects_are_seen_below_the_declaration_of_tests() {
    let file = |defect: &str| format!("#[cfg(test)]\nmod tests;\nmod view;\n\n{defect}\n");
    for (climbing, expected) in [
        ("use super::super::action;", true),
        ("use super :: super :: action;", true),
        ("use super::{super::action};", true),
        ("use super::{\n    view::{Frame, Pen},\n    super::action,\n};", true),
        ("use super::{supervise::all, view};", false),
        ("use super::{view, cut::Super};\nfn f() -> (u8, super::A) {}", false),
        ("// super::super", false),
    ] {
        assert_eq!(climbs(&code_of(&file(climbing))), expected, "{climbing}");
    }
    let climber = "mod tests {\n    use super::super::action;\n}";
    assert!(climbs(climber) && !climbs(&code_of(&format!("#[cfg(test)]\n{climber}"))));

    let code = code_of(&file("unsafe { read() } // crate::tui"));
    assert!(holds(&code, "unsafe") && !holds(&code, "tests") && imports(&code).is_empty());
    assert!(!holds(&code_of(&file("unsafely()")), "unsafe"));

    let names = |import: &str| imports(&code_of(&file(import)));
    let modules = BTreeMap::from([
        ("bench".to_owned(), names("use crate::learn::Settings;")),
        ("learn".to_owned(), names("use crate::{Result, bench::{report}};")),
    ]);
    assert!(circle(&modules).is_some());
    assert!(circle(&BTreeMap::from([("bench".to_owned(), names("use crate::learn;"))])).is_none());

    for declared in ["pub", "pub(super)", "pub(crate)", "pub(in crate::tui)", "    pub"] {
        assert_eq!(public_types(&file(&format!("{declared} struct Pen<T>(T);"))), ["Pen"]);
    }
    assert!(public_types(&file("struct Own;\n// pub struct Said;\npub fn f() {}")).is_empty());
}

/// Where files may be opened besides `input_file.rs`: what the program wrote itself, and what the
/// system tells.
const OPENS_FILES: &[&str] = &[
    "src/input_file.rs",
    "src/machine.rs",
    "src/machine/limits.rs",
    "src/bench/tui.rs",
    "src/cli/mask/kvpress/write.rs",
    "src/json_lines.rs",
    "src/learn/run/checkpoint.rs",
    "src/mask/files/save.rs",
    "src/model/fetch/client.rs",
    "src/model/fetch/models.rs",
    "src/tui/app/log.rs",
    "src/tui/app/record.rs",
];

#[test]
fn files_from_outside_are_opened_in_one_place() {
    let ways = ["File::open(", "fs::read(", "fs::read_to_string(", "OpenOptions", "File::options("];
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let is_test = inside.contains("/tests") || inside.contains("/testing");
        if is_test || OPENS_FILES.contains(&&*inside) {
            continue;
        }
        let code = code(&path);
        for way in ways {
            assert!(!code.contains(way), "{inside} uses `{way}..)`: read it with input_file");
        }
    }
}
