//! Modules of one crate that need each other, at any level.
//!
//! An edge is any path that begins with `crate::`, `super::` or `self::` outside of tests and comments. A parent may name
//! its children and a child its parent's items; siblings must not name each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::Tree;

/// Names of modules, from the crate's root.
type Path = Vec<String>;
/// For each module that has children: which child names which.
type Graph = BTreeMap<Path, BTreeMap<String, BTreeSet<String>>>;

/// Circles of modules, one line each.
pub fn circles(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let crates = tree.manifests().map(|(folder, _)| format!("{folder}/src/"));
    for source in crates {
        let modules: BTreeMap<Path, &str> = tree
            .sources()
            .filter_map(|(path, text)| Some((module_path(path.strip_prefix(&source)?)?, text)))
            .collect();
        for (parent, children) in graph(&modules) {
            if let Some(circle) = circle(&children) {
                let inside = parent.iter().map(|name| format!("{name}/")).collect::<String>();
                wrong.push(format!("{source}{inside}: {}", circle.join(" -> ")));
            }
        }
    }
    wrong
}

/// `a/b.rs` and `a/b/mod.rs` are a::b; roots are the empty path; binaries beside a library are not its modules.
fn module_path(file: &str) -> Option<Path> {
    let mut parts: Path = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if parts.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if parts
        .last()
        .is_some_and(|last| last == "mod" || (parts.len() == 1 && (last == "lib" || last == "main")))
    {
        parts.pop();
    }
    Some(parts)
}

fn graph(modules: &BTreeMap<Path, &str>) -> Graph {
    let mut graph = Graph::new();
    for (from, text) in modules {
        for to in named(text, from) {
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            // One of them contains the other: that is no edge between siblings.
            let (Some(source), Some(target)) = (from.get(shared), to.get(shared)) else { continue };
            if modules.contains_key(&to[..=shared]) {
                let level = graph.entry(from[..shared].to_vec()).or_default();
                level.entry(source.clone()).or_default().insert(target.clone());
            }
        }
    }
    graph
}

/// The absolute paths that a module's text names.
fn named(text: &str, module: &Path) -> BTreeSet<Path> {
    let code = without_tests_and_comments(text);
    let mut found = BTreeSet::new();
    for (start, base) in [("crate::", Vec::new()), ("self::", module.clone()), ("super::", parent(module))] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|letter| {
                letter.is_alphanumeric() || letter == '_' || letter == ':' || letter == '$'
            }) {
                continue;
            }
            follow(&code[at + start.len()..], base.clone(), &mut found);
        }
    }
    found
}

fn parent(module: &Path) -> Path {
    module[..module.len().saturating_sub(1)].to_vec()
}

/// Reads a path, or a tree of them in braces, and notes each end.
fn follow(rest: &str, mut base: Path, found: &mut BTreeSet<Path>) {
    let rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        for item in items(list) {
            follow(item, base.clone(), found);
        }
        return;
    }
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    match &rest[..end] {
        "" => {}
        "super" => drop(base.pop()),
        name => base.push(name.to_owned()),
    }
    match rest[end..].strip_prefix("::") {
        Some(deeper) => follow(deeper, base, found),
        None => drop(found.insert(base)),
    }
}

/// The items of a list, up to its closing brace.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&list[start..at]);
                return found;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Tests come last in a file, and may know more than what they test.
fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// A circle among names, if there is one.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    edges.keys().find_map(|start| {
        // Breadth first, so that the shortest way back is shown.
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for next in way.last().and_then(|last| edges.get(last)).into_iter().flatten() {
                    let way: Vec<String> = way.iter().cloned().chain([next.clone()]).collect();
                    if next == start {
                        return Some(way);
                    }
                    if seen.insert(next.clone()) {
                        longer.push(way);
                    }
                }
            }
            ways = longer;
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let all: Vec<(&str, &str)> = files.iter().copied().chain([("c/Cargo.toml", "")]).collect();
        circles(&Tree::of(&all))
    }

    #[test]
    fn two_modules_that_need_each_other_are_found() {
        let found = check(&[("c/src/a.rs", "use crate::b::X;"), ("c/src/b.rs", "fn f(_: super::a::Y) {}")]);
        assert_eq!(found, ["c/src/: a -> b -> a"]);
    }

    #[test]
    fn a_circle_through_braces_and_folders_is_found() {
        let found = check(&[
            ("c/src/a/mod.rs", "use crate::{b, z::{One, Two}};"),
            ("c/src/a/x.rs", "use crate::z;"),
            ("c/src/b.rs", "use crate::z::Two;"),
            ("c/src/z.rs", "use crate::a::x::Three;"),
        ]);
        assert_eq!(found, ["c/src/: a -> z -> a"]);
        let found = check(&[
            ("c/src/a/mod.rs", ""),
            ("c/src/a/x.rs", "use super::y::Z;"),
            ("c/src/a/y.rs", "use crate::a::x;"),
        ]);
        assert_eq!(found, ["c/src/a/: x -> y -> x"]);
    }

    #[test]
    fn parents_tests_and_comments_make_no_circle() {
        let found = check(&[
            ("c/src/lib.rs", "use crate::a::X; use self::b::Y;"),
            ("c/src/a.rs", "use crate::Thing; use crate::b::Y;"),
            ("c/src/b.rs", "// see crate::a\n#[cfg(test)]\nmod tests { use crate::a; }"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
