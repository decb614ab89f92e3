//! `shardloom logs`: what guests say, on all nodes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;

use anyhow::bail;
use clap::Args;
use serde::Deserialize;

use super::Global;
use super::client::{Client, Patience, QUICK};
use super::replies::{EndpointReply, typed};
use super::segment::segment;
use crate::calendar::clock;

/// Lines on their way from the nodes to the terminal.
const LINES_MAX: usize = 1_024;

/// Show what guests log and print, on all nodes.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom logs
  shardloom logs words --follow
  shardloom logs words --tail 20 --json")]
pub(super) struct Logs {
    /// Only this workload's lines.
    workload: Option<String>,
    /// Go on with the lines to come, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// At most so many of the lines that each node has kept.
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    tail: u32,
}

/// A line as a node gives it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    at_ms: u64,
    node: String,
    workload: String,
    shard: u32,
    level: String,
    context: String,
    message: String,
    dropped: u64,
    missed: u64,
}

/// What a node's thread has to tell.
enum News {
    Line(String),
    Failed(String),
}

impl Logs {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = global.client()?;
        let mut path = format!("/v1/logs?tail={}&follow={}", self.tail, self.follow);
        if let Some(workload) = &self.workload {
            path.push_str(&format!("&workload={}", segment(workload)));
        }
        let deadline = (!self.follow).then_some(QUICK);
        let nodes = nodes(&client)?;
        let json = global.output().is_json();
        let mut out = io::stdout().lock();
        let (mut failed, asked) = (0, nodes.len());
        thread::scope(|scope| -> anyhow::Result<()> {
            let (sender, news) = mpsc::sync_channel(LINES_MAX);
            for node in &nodes {
                let (sender, client, path) = (sender.clone(), &client, &path);
                scope.spawn(move || {
                    let mut lines = Lines { sender: &sender, begun: Vec::new() };
                    if let Err(error) =
                        client.follow(node, path, Patience { whole: deadline, silence: None }, &mut lines)
                    {
                        let _ = sender.send(News::Failed(error.to_string()));
                    }
                });
            }
            drop(sender);
            for news in news {
                match news {
                    News::Line(line) if json => writeln!(out, "{line}")?,
                    News::Line(line) => writeln!(out, "{}", shown(&line))?,
                    News::Failed(words) => {
                        failed += 1;
                        eprintln!("shardloom: {words}");
                    }
                }
            }
            Ok(())
        })?;
        if failed == asked {
            bail!("no node gave its lines");
        }
        Ok(())
    }
}

/// Where the nodes answer, by the scheme that the first server is asked by.
pub(super) fn nodes(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let endpoints: Vec<EndpointReply> = typed(&client.read("/v1/endpoints")?)?;
    let tls = client.servers().first().is_some_and(|server| server.starts_with("https:"));
    let scheme = if tls { "https" } else { "http" };
    let offered = endpoints.into_iter().filter(|endpoint| endpoint.name == "http");
    Ok(offered.map(|endpoint| format!("{scheme}://{}", endpoint.address)).collect())
}

fn shown(line: &str) -> String {
    let Ok(line) = serde_json::from_str::<Line>(line) else { return line.to_owned() };
    if line.missed > 0 {
        return format!("({} lines of node {} were missed: they came too fast)", line.missed, line.node);
    }
    let dropped = match line.dropped {
        0 => String::new(),
        count => format!(" ({count} dropped before)"),
    };
    let context = if line.context.is_empty() { String::new() } else { format!("{}: ", plain(&line.context)) };
    format!(
        "{} {} {}/{} {:5} {context}{}{dropped}",
        clock(line.at_ms),
        line.node,
        line.workload,
        line.shard,
        line.level,
        plain(&line.message)
    )
}

/// A guest's text without what would move a terminal's cursor, or look like another line.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\t' {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Takes a stream apart into lines.
struct Lines<'a> {
    sender: &'a mpsc::SyncSender<News>,
    begun: Vec<u8>,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if self.begun.last() == Some(&b'\n') {
                let line = String::from_utf8_lossy(&self.begun).trim_end().to_owned();
                self.begun.clear();
                self.sender.send(News::Line(line)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_people_read_logs() {
        let line = r#"{"at_ms":3723004,"node":"ab","workload":"w","shard":7,"level":"warn","context":"stdout","message":"m","dropped":2}"#;
        assert_eq!(shown(line), "01:02:03.004 ab w/7 warn  stdout: m (2 dropped before)");
        assert_eq!(plain("a\x1b[31m\nb\tü"), "a\\u{1b}[31m\\nb\tü");
        assert!(shown(r#"{"node":"ab","missed":3}"#).starts_with("(3 lines of node ab"));
    }

    #[test]
    fn a_stream_is_taken_apart_wherever_its_parts_end() {
        let (sender, news) = mpsc::sync_channel(LINES_MAX);
        let mut lines = Lines { sender: &sender, begun: Vec::new() };
        for part in ["a", "b\nc", "\n\nd"] {
            lines.write_all(part.as_bytes()).unwrap();
        }
        drop(sender);
        let seen: Vec<String> = news
            .iter()
            .map(|news| match news {
                News::Line(line) | News::Failed(line) => line,
            })
            .collect();
        assert_eq!(seen, ["ab", "c", ""]);
    }
}
