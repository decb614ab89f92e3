//! The applications in `examples/`: their READMEs tell what they answer, and that is what they answer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use shardloom_harness::cluster::{Cluster, check};
use shardloom_harness::{Options, artefacts};

/// Where a README says that the component is; the tests may have it elsewhere.
const BUILT: &str = "target/guests/";

/// How the command line begins to say what went wrong.
const ERROR: &str = "shardloom: ";

/// One command of a README, and what is printed below it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    words: Vec<String>,
    /// Empty where the README leaves it out.
    output: String,
}

/// Where `shardloom dev` has its nodes answer, as READMEs say it.
const NODES: [&str; 3] = ["http://127.0.0.1:7080", "http://127.0.0.1:7090", "http://127.0.0.1:7100"];

#[test]
fn url_shortener_answers_as_its_readme_says() {
    check(Options::of(3), |cluster| follow(cluster, "url-shortener"));
}

#[test]
fn rate_limiter_answers_as_its_readme_says() {
    check(Options::of(3), |cluster| follow(cluster, "rate-limiter"));
}

#[test]
fn leaderboard_answers_as_its_readme_says() {
    if let Err(error) = artefacts::guest("leaderboard") {
        // Straight to the stream: the test runner would keep the words of a test that passes to itself.
        let _ = writeln!(std::io::stderr(), "skipped, it was not built for want of Python: {error:#}");
        return;
    }
    check(Options::of(3), |cluster| follow(cluster, "leaderboard"));
}

#[test]
fn session_store_answers_as_its_readme_says() {
    if let Err(error) = artefacts::guest("session-store") {
        let _ =
            writeln!(std::io::stderr(), "skipped, it was not built for want of Node.js with npm: {error:#}");
        return;
    }
    check(Options::of(3), |cluster| follow(cluster, "session-store"));
}

#[test]
fn inventory_answers_as_its_readme_says() {
    check(Options::of(3), |cluster| follow(cluster, "inventory"));
}

/// Does what a README says, step by step.
fn follow(cluster: &Cluster, example: &str) -> Result<()> {
    let path = artefacts::workspace().join("examples").join(example).join("README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let steps = steps(&readme)?;
    ensure!(!steps.is_empty(), "{} has no commands", path.display());
    let files = tempfile::tempdir().context("a directory for what curl keeps")?;
    for Step { words, output } in steps {
        let done = run(cluster, files.path(), words.clone())?;
        let (printed, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let fails = output.starts_with(ERROR);
        ensure!(done.status.success() != fails, "{words:?} ended with {}: {said}", done.status);
        let found = if fails { said.trim() } else { printed.trim() };
        ensure!(output.is_empty() || found == output, "{words:?}\nanswered {found}\ninstead of {output}");
    }
    Ok(())
}

/// Runs a command: ours, or curl, in a directory of its own, against the node that its address stands for.
fn run(cluster: &Cluster, files: &Path, mut words: Vec<String>) -> Result<Output> {
    let program = words.remove(0);
    if program == "curl" {
        let mut curl = Command::new("curl");
        // The addresses stay as they are written: cookies are kept for them.
        for (index, node) in NODES.iter().enumerate() {
            let (written, meant) = (plain(node), cluster.url(index, ""));
            curl.args(["--connect-to", &format!("{written}:{}", plain(&meant))]);
        }
        return curl.current_dir(files).args(words).output().context("curl");
    }
    let words: Vec<String> = words.into_iter().map(here).collect::<Result<_>>()?;
    cluster.cli_output(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The host and port of a node's URL.
fn plain(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// A built component is where this build has it.
fn here(word: String) -> Result<String> {
    match word.strip_prefix(BUILT).and_then(|file| file.strip_suffix(".wasm")) {
        Some(guest) => Ok(artefacts::guest(guest)?.display().to_string()),
        None => Ok(word),
    }
}

/// The commands in the `console` blocks of a README.
fn steps(readme: &str) -> Result<Vec<Step>> {
    let (mut steps, mut in_console) = (Vec::<Step>::new(), false);
    for line in readme.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            let words = words(command);
            ensure!(
                words.first().is_some_and(|word| word == "shardloom" || word == "curl"),
                "neither a command of ours nor curl: {command}"
            );
            steps.push(Step { words, output: String::new() });
        } else if in_console {
            let step = steps.last_mut().context("output before the first command")?;
            step.output = format!("{}\n{line}", step.output).trim().to_owned();
        }
    }
    Ok(steps)
}

/// A command's words, as a shell splits them; of all quotes it knows single ones.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quoted) = (Vec::new(), false);
    let mut word: Option<String> = None;
    for letter in command.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn a_readme_is_read_as_a_shell_would_read_it() {
    let readme = "$ not this\n```console\n$ shardloom call a --body '{\"b\": 1}' ''\none\ntwo\n$ shardloom status\n```\n\
                  text\n```sh\n$ nor this\n```\n";
    let step = |words: &[&str], output: &str| Step {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        output: output.to_owned(),
    };
    let expected = [
        step(&["shardloom", "call", "a", "--body", "{\"b\": 1}", ""], "one\ntwo"),
        step(&["shardloom", "status"], ""),
    ];
    assert_eq!(steps(readme).expect("the README is in order"), expected);
}
