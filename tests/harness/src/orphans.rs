//! What a harness left that was killed before it could clean up: its things bear its process id.

use std::fs;
use std::path::Path;

use crate::tool::run;

/// Begins the names of directories that clusters live in.
const DIRECTORY: &str = "shardloom-";
/// Begins the names of namespaces and bridges: an interface's name has at most 15 bytes.
const INTERFACE: &str = "sl";

/// Where a namespace's own files in place of the machine's `/etc` are, by its name.
pub(crate) const NAMESPACE_ETC: &str = "/etc/netns";

/// How the names of this process's directories begin.
pub(crate) fn prefix() -> String {
    format!("{DIRECTORY}{}-", std::process::id())
}

/// The name of the `count`-th network of this process.
pub(crate) fn network(count: u32) -> String {
    format!("{INTERFACE}{}-{count}", std::process::id())
}

/// Unmounts the file systems of processes that are no more.
pub(crate) fn sweep_mounts() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for at in mounts.lines().filter_map(|line| line.split_whitespace().nth(1)) {
        if at.split('/').any(|name| is_orphan(name, DIRECTORY)) {
            // There is nobody to tell if it stays.
            let _ = run("umount", &["-l", at]);
        }
    }
}

/// Removes the namespaces and bridges of processes that are no more.
pub(crate) fn sweep_networks() {
    let listed = |words: &[&str]| run("ip", words).unwrap_or_default();
    for line in listed(&["netns", "list"]).lines() {
        if let Some(name) = line.split_whitespace().next().filter(|name| is_orphan(name, INTERFACE)) {
            let _ = run("ip", &["netns", "delete", name]);
            let _ = fs::remove_dir_all(Path::new(NAMESPACE_ETC).join(name));
        }
    }
    for line in listed(&["-o", "link", "show", "type", "bridge"]).lines() {
        let name = line.split(':').nth(1).map(str::trim);
        if let Some(name) = name.filter(|name| is_orphan(name, INTERFACE)) {
            let _ = run("ip", &["link", "delete", name]);
        }
    }
}

/// Whether a name is one of ours, of a process that is no more.
fn is_orphan(name: &str, prefix: &str) -> bool {
    let pid = name.strip_prefix(prefix).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
    let pid: Option<u32> = pid.and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_processes_that_ended_are_orphans() {
        // No process has a number that high.
        assert!(is_orphan("sl4194999-0n1", INTERFACE) && is_orphan("shardloom-4194999-abc", DIRECTORY));
        assert!(!is_orphan(&network(0), INTERFACE) && !is_orphan(&prefix(), DIRECTORY));
        for name in ["slow-1", "docker0", "sl12", "shardloom-abc"] {
            assert!(!is_orphan(name, INTERFACE) && !is_orphan(name, DIRECTORY), "{name}");
        }
    }
}
