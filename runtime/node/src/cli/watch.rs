//! `shardloom dev --watch`: builds and deploys a directory, and does so again whenever its source changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::build::build;
use super::client::{Client, ClientError};
use super::deploy::{deploy, told};
use super::project::Project;

/// Directories that hold what tools make, and files that building changes.
const LEFT_OUT: [&str; 6] =
    ["target", "node_modules", "venv", "__pycache__", "Cargo.lock", "package-lock.json"];

/// The first pause before a deploy that failed is tried again: an election takes about that long.
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// The longest one: whoever waits for a cluster to come back looks at it meanwhile.
const AGAIN_MAX: Duration = Duration::from_secs(15);

/// A directory that is watched.
pub(super) struct Watch {
    directory: PathBuf,
    /// The source as it was last built.
    built: Option<Source>,
    /// What was built is not deployed yet, for a reason that may pass.
    again: Option<Again>,
}

/// A deploy that is to be tried again.
#[derive(Debug, PartialEq, Eq)]
struct Again {
    at: Instant,
    pause: Duration,
    component: PathBuf,
    /// Why it failed, as it was said: the same is not said each time.
    said: String,
}

impl Again {
    /// After a deploy that failed, and the pause that was before it.
    fn after(before: Option<&Again>, now: Instant, component: &Path, said: String) -> Again {
        let pause = before.map_or(AGAIN_MIN, |before| (before.pause * 2).min(AGAIN_MAX));
        Again { at: now + pause, pause, component: component.to_owned(), said }
    }
}

/// What tells one state of the source from another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    files: u64,
    bytes: u64,
    newest: Option<SystemTime>,
}

impl Watch {
    /// Watches a directory that `shardloom new` made, or one like it.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn new(directory: PathBuf) -> anyhow::Result<Watch> {
        Project::open(&directory)?;
        Ok(Watch { directory, built: None, again: None })
    }

    /// Builds and deploys the source if it is another than last time, and prints how that went. What does not build or is not taken
    /// leaves the version before in its place. What the cluster could not take just now is deployed again, until it is or the source changes.
    pub(super) fn look(&mut self, client: &Client) {
        let now = source(&self.directory);
        if self.built.as_ref() != Some(&now) {
            self.built = Some(now);
            self.again = None;
            match self.build() {
                Ok(component) => self.deploy(client, &component, None),
                Err(error) => self.complain(&format!("{error:#}")),
            }
        } else if let Some(again) = self.again.take_if(|again| again.at <= Instant::now()) {
            self.deploy(client, &again.component, Some(&again));
        }
    }

    fn build(&self) -> anyhow::Result<PathBuf> {
        build(&self.directory, &Project::open(&self.directory)?)
    }

    fn deploy(&mut self, client: &Client, component: &Path, before: Option<&Again>) {
        let error = match self.bring(client, component) {
            Ok(words) => return println!("{words}"),
            Err(error) => error,
        };
        let said = format!("{error:#}");
        let new = before.is_none_or(|before| before.said != said);
        if may_pass(&error) {
            if new {
                self.complain(&format!("{said}; it is tried again until it is deployed"));
            }
            self.again = Some(Again::after(before, Instant::now(), component, said));
        } else if new {
            self.complain(&said);
        }
    }

    fn bring(&self, client: &Client, component: &Path) -> anyhow::Result<String> {
        let project = Project::open(&self.directory)?;
        told(&deploy(client, &project.name, component, project.deploy.manifest()?)?)
    }

    fn complain(&self, words: &str) {
        eprintln!("{}: {words}", self.directory.display());
    }
}

/// Whether the same deploy may well succeed a little later: what the cluster says of the component itself stays true.
fn may_pass(error: &anyhow::Error) -> bool {
    match error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) {
        Some(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => true,
        Some(ClientError::Refused { problem, .. }) => {
            problem.retryable || problem.status >= 500 || problem.code == "deploy-conflict"
        }
        _ => false,
    }
}

/// The source as it is now. Files that come and go meanwhile are seen the next time.
fn source(directory: &Path) -> Source {
    let mut found = Source::default();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        let Ok(entries) = fs::read_dir(at) else { continue };
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if name.starts_with('.') || name.ends_with(".wasm") || LEFT_OUT.contains(&&*name) {
                continue;
            }
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                open.push(path);
                continue;
            }
            found.files += 1;
            found.bytes += about.len();
            found.newest = found.newest.max(about.modified().ok());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;
    use crate::cli::client::Problem;

    #[test]
    fn a_change_of_the_source_is_seen_and_one_of_what_is_built_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let before = source(directory.path());
        write("target/release/out", "built");
        write("greeter.wasm", "built");
        write(".git/index", "other");
        assert_eq!(source(directory.path()), before);
        write("src/lib.rs", "other");
        let changed = source(directory.path());
        assert_ne!(changed, before);
        write("src/more.rs", "");
        assert_ne!(source(directory.path()), changed);
    }

    #[test]
    fn a_deploy_is_tried_again_after_pauses_that_grow() {
        let now = Instant::now();
        let mut again = Again::after(None, now, Path::new("g.wasm"), "why".into());
        assert_eq!(again.at, now + AGAIN_MIN);
        for _ in 0..10 {
            let next = Again::after(Some(&again), now, Path::new("g.wasm"), "why".into());
            assert!(next.pause > again.pause || next.pause == AGAIN_MAX);
            again = next;
        }
        assert_eq!(again.pause, AGAIN_MAX);
    }

    /// Answers so many requests, one a connection, in this order; says what was asked for.
    fn serve(answers: Vec<(u16, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let answer = |(status, body): (u16, &str)| {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let lines = stream.by_ref().lines().map(Result::unwrap);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let length = head
                    .iter()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
                let length = body.len();
                write!(
                    stream.get_mut(),
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )
                .unwrap();
                head[0].split("/").nth(2).unwrap().to_owned()
            };
            answers.into_iter().map(answer).collect()
        });
        (server, asked)
    }

    #[test]
    fn a_deploy_that_the_cluster_could_not_take_is_tried_again_without_a_change_of_the_source() {
        const NOT_NOW: &str =
            r#"{"code": "no-leader", "detail": "nobody leads", "executed": "no", "retryable": true}"#;
        const TAKEN: &str =
            r#"{"name": "g", "version": 1, "component": "", "config": {}, "confirmed_by": ["a"]}"#;
        let directory = tempfile::tempdir().unwrap();
        let component = directory.path().join("g.wasm");
        fs::write(directory.path().join("shardloom.toml"), "name = \"g\"\nlanguage = \"rust\"\n").unwrap();
        fs::write(&component, "built").unwrap();
        let (server, asked) = serve(vec![(200, "{}"), (503, NOT_NOW), (200, "{}"), (200, TAKEN)]);
        let client = Client::open(&[server], Some("token".into()), None).unwrap();

        let mut watch = Watch::new(directory.path().to_owned()).unwrap();
        watch.built = Some(source(directory.path()));
        watch.deploy(&client, &component, None);
        let again = watch.again.as_mut().expect("it is to be tried again");
        assert!(again.said.contains("nobody leads"), "{}", again.said);
        // As if the pause were over.
        again.at = Instant::now();
        watch.look(&client);
        assert_eq!(watch.again, None);
        watch.look(&client);
        assert_eq!(asked.join().unwrap(), ["components", "workloads", "components", "workloads"]);
    }

    #[test]
    fn what_the_cluster_says_of_the_component_is_not_asked_again() {
        let refused = |status, code: &str| {
            let problem = Problem { status, code: code.into(), ..Problem::default() };
            anyhow::Error::from(ClientError::Refused { problem: Box::new(problem), hint: "" }).context("file")
        };
        assert!(may_pass(&refused(503, "not-confirmed")));
        assert!(may_pass(&refused(409, "deploy-conflict")));
        assert!(!may_pass(&refused(400, "bad-request")));
        assert!(may_pass(&ClientError::Unreachable { tried: String::new() }.into()));
        assert!(!may_pass(&anyhow::anyhow!("no such file")));
    }
}
