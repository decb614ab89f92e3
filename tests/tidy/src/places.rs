//! Traces of the machine that a text was written on: its paths, and the hosts that it fetched from.

use crate::Tree;

/// Beginnings of paths that exist on somebody's machine only. Put together here, so that this file does not find itself.
const PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Use", "rs/")];
/// Hosts of package registries and of mirrors.
const HOSTS: [&str; 8] = [
    concat!("arti", "factory"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("registry.npm", "js.org"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("deb.deb", "ian.org"),
    concat!(".inter", "nal/"),
];

/// Absolute paths of a machine, and names of registries, in any tracked text.
pub fn traces(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let found = PATHS.iter().find(|trace| is_path(line, trace));
            let found = found.or_else(|| HOSTS.iter().find(|host| line.contains(*host)));
            if let Some(trace) = found {
                wrong.push(format!("{path}:{}: {trace}", number + 1));
            }
        }
    }
    wrong
}

/// Whether a path begins like that here: `/v1/work/` and `a/root/` are other things.
fn is_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && !"_-.~}*/".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_a_machine_are_found() {
        for trace in PATHS.iter().chain(&HOSTS) {
            let text = format!("first\nsee {trace}x for more");
            assert_eq!(traces(&Tree::of(&[("notes.md", &text)])), [format!("notes.md:2: {trace}")]);
        }
    }

    #[test]
    fn paths_within_the_project_are_none() {
        let text = format!("route = '/v1{}x'", PATHS[2]);
        assert!(traces(&Tree::of(&[("a.rs", &text)])).is_empty());
    }
}
