//! Checks the code against docs/ARCHITECTURE.md: imports run downwards, modules form no cycles, and
//! `unsafe` is only used where it is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first. Modules of one layer may import each other where no cycle arises.
const LAYERS: &[&[&str]] = &[
    &["element", "error", "machine", "mask", "numbers", "random", "spread"],
    &["cache", "attention"],
    &["model"],
    &["decode"],
    &["bench", "learn"],
    &["tui"],
    &["cli"],
];

/// Where `unsafe` is allowed: vector kernels, and mapping files.
const UNSAFE: &[&str] = &["src/attention/", "src/model/load/bytes.rs"];

/// Words that the code of a module must not contain.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("mask", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("cache", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("attention", &["candle_core", "ratatui", "crossterm", "tokenizers"]),
    ("model", &["ratatui", "crossterm"]),
    ("decode", &["ratatui", "crossterm"]),
    ("bench", &["ratatui::", "crossterm::terminal"]),
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

/// Lines of code: without comments, and without what follows the file's own tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
    let end = tests.unwrap_or(lines.len());
    lines[..end].iter().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
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

#[test]
fn modules_of_one_layer_form_no_cycle() {
    let modules = all_modules();
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
    for module in modules.keys() {
        assert!(
            !reaches(&modules, module, module, &mut BTreeSet::new()),
            "{module} imports itself through other modules"
        );
    }
}

#[test]
fn unsafe_code_stays_where_it_may_be() {
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let allowed = UNSAFE.iter().any(|place| inside.starts_with(place));
        let words = code(&path);
        let found =
            words.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        assert!(allowed || !found, "{inside} contains `unsafe`");
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
        .filter(|path| !is_test_file(path) && code(path).contains("super::super"))
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
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some("pub")
                || !matches!(words.next(), Some("struct" | "enum" | "trait" | "type"))
            {
                continue;
            }
            let name: String = words
                .next()
                .unwrap_or_default()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            places.entry(name).or_default().push(inside.clone());
        }
    }
    assert!(places.contains_key("ChannelMask"), "no type was found where there are some");
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "one name, several public types: {places:#?}");
}
