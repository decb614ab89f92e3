//! What every source file owes its reader: a first sentence, a name, a bearable length, and no loose ends.

use crate::Tree;

/// The most lines of a source file; at this length it holds more than one idea.
const LINES_MAX: usize = 500;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];
/// What stands for work not done. Put together here, so that this file does not find itself.
const LOOSE_ENDS: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Sources that do not begin with a module doc.
pub fn undocumented(tree: &Tree) -> Vec<String> {
    let documented = |text: &str| {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.find(|line| !line.starts_with("#![")).is_some_and(|line| line.starts_with("//!"))
    };
    let wrong = tree.sources().filter(|(_, text)| !documented(text));
    wrong.map(|(path, _)| format!("{path} does not begin with a module doc (//!)")).collect()
}

/// Sources whose name says nothing.
pub fn empty_names(tree: &Tree) -> Vec<String> {
    let named = |path: &str| path.split('/').any(|part| EMPTY_NAMES.contains(&part.trim_end_matches(".rs")));
    let wrong = tree.sources().filter(|(path, _)| named(path));
    wrong.map(|(path, _)| format!("{path}: the name says nothing about what is inside")).collect()
}

/// Sources that are too long.
pub fn too_long(tree: &Tree) -> Vec<String> {
    let lengths = tree.sources().map(|(path, text)| (path, text.lines().count()));
    let wrong = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    wrong.map(|(path, lines)| format!("{path} has {lines} lines: more than one idea")).collect()
}

/// Work not done, tests not run.
pub fn loose_ends(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in tree.sources() {
        for (number, line) in text.lines().enumerate() {
            if let Some(end) = LOOSE_ENDS.iter().find(|end| line.contains(*end)) {
                wrong.push(format!("{path}:{}: {end}", number + 1));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(check: fn(&Tree) -> Vec<String>, path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_file_without_a_first_sentence_is_found() {
        assert_eq!(wrong(undocumented, "a.rs", "#![allow(x)]\n\n//! Says.\nfn a() {}"), 0);
        assert_eq!(wrong(undocumented, "a.rs", "fn a() {}"), 1);
        assert_eq!(wrong(undocumented, "a.rs", ""), 1);
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        assert_eq!(wrong(empty_names, "src/planner.rs", ""), 0);
        assert_eq!(wrong(empty_names, "src/utils.rs", ""), 1);
        assert_eq!(wrong(empty_names, "src/helpers/a.rs", ""), 1);
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert_eq!(wrong(too_long, "a.rs", &"\n".repeat(LINES_MAX)), 0);
        assert_eq!(wrong(too_long, "a.rs", &"\n".repeat(LINES_MAX + 1)), 1);
    }

    #[test]
    fn a_loose_end_is_found() {
        assert_eq!(wrong(loose_ends, "a.rs", "fn a() { done() }"), 0);
        for end in LOOSE_ENDS {
            assert_eq!(wrong(loose_ends, "a.rs", &format!("fn a() {{\n {end} }}")), 1);
        }
    }
}
