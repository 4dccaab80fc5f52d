//! What the README shows is what is tested here.

use std::{collections::HashSet, fs, path::Path};

const PROGRAMS: [(&str, &str); 4] =
    [("js", "node/verify.mjs"), ("python", "python/verify.py"), ("go", "go/main.go"), ("rust", "rust/src/main.rs")];

#[test]
fn the_readme_shows_lines_of_the_examples() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Verify a token").expect("the README shows how to verify a token");
    let section = section.split("\n## ").next().expect("split gives one at least");

    for (language, program) in PROGRAMS {
        let text = read(&format!("examples/verify/{program}"));
        let lines: HashSet<_> = text.lines().map(str::trim).collect();
        let (_, block) = section.split_once(&format!("```{language}\n")).expect(language);
        for shown in block.lines().map(str::trim).take_while(|line| *line != "```") {
            assert!(lines.contains(shown), "the README shows `{shown}`, which is not in {program}");
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}
