//! What the threat model says is proved, is proved by tests that are there.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn the_threat_model_names_tests_that_are_there() {
    let model = fs::read_to_string(root().join("docs/THREAT-MODEL.md")).expect("docs/THREAT-MODEL.md");
    let (_, tables) = model.split_once("## 4. Which test proves it").expect("section 4");
    let known = names_of_tests();
    let rows: Vec<&str> = tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --")).collect();
    let numbered = (1..=28).map(|rule| rule.to_string()).chain((1..=8).map(|invariant| format!("I{invariant}")));
    for number in numbered {
        let of_it = rows.iter().filter(|row| row.starts_with(&format!("| {number} |")));
        assert_eq!(of_it.count(), 1, "rule or invariant {number} has a row");
    }
    assert!(rows.len() > 80, "{} rows", rows.len());

    for row in rows.into_iter().filter(|row| !row.ends_with("| tests |")) {
        let (_, tests) = row.trim_end_matches(" |").rsplit_once("| ").expect("a row has cells");
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            // What takes too long for `cargo test` is a command.
            let is_there = known.contains(test) || test.ends_with("/run") && root().join(test).is_file();
            assert!(is_there, "there is no test {test}: {row}");
        }
    }
}

/// Every test by the name that `cargo test` gives it; what stands in a binary's `main.rs` has the binary's name before
/// it.
fn names_of_tests() -> HashSet<String> {
    let mut names = HashSet::new();
    for folder in ["src", "tests/api", "tests/profiles", "tests/verifiers", "tests/model"] {
        for file in rust_files(&root().join(folder)) {
            let inside = file.strip_prefix(root().join(folder)).expect("it is in the folder").with_extension("");
            let module = inside.to_string_lossy().replace('/', "::");
            let module = if module == "main" { folder.trim_start_matches("tests/").to_owned() } else { module };
            for (test, nested) in tests_in(&fs::read_to_string(&file).expect("a source file")) {
                names.insert(if nested { format!("{module}::tests::{test}") } else { format!("{module}::{test}") });
            }
        }
    }
    names
}

/// The functions with a test's attribute, and whether each stands in a module of the file.
fn tests_in(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let code = line.trim_start();
        is_test |= ["#[test]", "#[both_databases", "#[actix_web::test]", "#[tokio::test"]
            .iter()
            .any(|mark| code.starts_with(mark));
        let name = code.split_once("fn ").and_then(|(_, rest)| rest.split('(').next());
        if let Some(name) = name.filter(|_| is_test && !code.starts_with("//")) {
            let in_macro = text.contains("proptest! {");
            found.push((name.to_owned(), line.starts_with(' ') && !in_macro));
            is_test = false;
        }
    }
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
