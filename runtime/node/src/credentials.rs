//! The user's own file of admin tokens, one entry per cluster, as a kubeconfig is for others.
//!
//! `$XDG_CONFIG_HOME/shardloom/credentials.toml` (else `~/.config/...`), readable by the user alone. A node that makes a
//! cluster writes to it, so does `shardloom login`; the command line reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The most bytes read from the file: more is not ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// There is nowhere to keep them.
    #[error("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for credentials")]
    NoHome,
    /// The file or its directory cannot be used.
    #[error("{path} cannot be used")]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} cannot be read ({reason}); repair it, or remove it and log in again")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is known about one cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The cluster's id, as it prints.
    pub cluster_id: String,
    /// Base URLs of its nodes.
    pub servers: Vec<String>,
    /// The admin token.
    pub token: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    #[serde(default, rename = "cluster")]
    clusters: Vec<Credential>,
}

/// The file, at its place.
#[derive(Clone, Debug)]
pub struct Credentials {
    path: PathBuf,
}

impl Credentials {
    /// The file of the user who runs this process.
    ///
    /// # Errors
    /// If the environment names no home.
    pub fn of_user() -> Result<Self, CredentialsError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = set("XDG_CONFIG_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".config")))
            .ok_or(CredentialsError::NoHome)?;
        Ok(Self { path: config.join("shardloom").join("credentials.toml") })
    }

    /// A file elsewhere.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token for the first of these servers that is known.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn token_for(&self, servers: &[String]) -> Result<Option<String>, CredentialsError> {
        let contents = self.read()?;
        Ok(servers.iter().map(|server| normalised(server)).find_map(|server| {
            contents
                .clusters
                .iter()
                .find(|cluster| cluster.servers.contains(&server))
                .map(|cluster| cluster.token.clone())
        }))
    }

    /// Keeps a cluster's token. What was known about the same cluster, or about the same servers, is replaced.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn remember(
        &self,
        cluster_id: &str,
        servers: &[String],
        token: &str,
    ) -> Result<(), CredentialsError> {
        let servers: Vec<String> = servers.iter().map(|server| normalised(server)).collect();
        self.edit(|contents| {
            contents.clusters.retain(|cluster| cluster.cluster_id != cluster_id);
            for cluster in &mut contents.clusters {
                cluster.servers.retain(|server| !servers.contains(server));
            }
            contents.clusters.retain(|cluster| !cluster.servers.is_empty());
            contents.clusters.push(Credential {
                cluster_id: cluster_id.to_owned(),
                servers,
                token: token.to_owned(),
            });
        })
    }

    /// Drops what is known about a cluster.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn forget(&self, cluster_id: &str) -> Result<(), CredentialsError> {
        self.edit(|contents| contents.clusters.retain(|cluster| cluster.cluster_id != cluster_id))
    }

    fn read(&self) -> Result<Contents, CredentialsError> {
        let damaged = |reason: String| CredentialsError::Damaged { path: self.path.clone(), reason };
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => return Err(self.failed(error)),
            Ok(found) if found.len() > FILE_BYTES_MAX => return Err(damaged("too large".into())),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&self.path).map_err(|error| self.failed(error))?;
        toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))
    }

    /// Reads, changes and replaces the file in one step, one process at a time.
    fn edit(&self, change: impl FnOnce(&mut Contents)) -> Result<(), CredentialsError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let failed = |source| self.failed(source);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = File::create(self.path.with_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;

        let mut contents = self.read()?;
        change(&mut contents);
        let text = toml::to_string(&contents).map_err(|error| failed(io::Error::other(error)))?;

        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&fresh, &self.path).map_err(failed)
    }

    fn failed(&self, source: io::Error) -> CredentialsError {
        CredentialsError::File { path: self.path.clone(), source }
    }
}

/// One spelling for one server, so that a trailing slash does not hide a token.
pub fn normalised(server: &str) -> String {
    let server = server.trim().trim_end_matches('/');
    if server.contains("://") { server.to_owned() } else { format!("http://{server}") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fresh() -> (tempfile::TempDir, Credentials) {
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(directory.path().join("shardloom/credentials.toml"));
        (directory, credentials)
    }

    fn token(credentials: &Credentials, server: &str) -> Option<String> {
        credentials.token_for(&[server.to_owned()]).unwrap()
    }

    #[test]
    fn a_token_is_found_by_any_of_its_servers_and_by_no_other() {
        let (_directory, credentials) = fresh();
        assert_eq!(token(&credentials, "http://a:1"), None);
        credentials.remember("c1", &["http://a:1".into(), "http://b:1/".into()], "t1").unwrap();
        assert_eq!(token(&credentials, "http://a:1/"), Some("t1".into()));
        assert_eq!(token(&credentials, "b:1"), Some("t1".into()));
        assert_eq!(token(&credentials, "https://a:1"), None);
    }

    #[test]
    fn a_new_cluster_on_an_old_address_takes_it_over() {
        let (_directory, credentials) = fresh();
        credentials.remember("old", &["http://a:1".into()], "t1").unwrap();
        credentials.remember("new", &["http://a:1".into()], "t2").unwrap();
        assert_eq!(token(&credentials, "http://a:1"), Some("t2".into()));
        credentials.forget("new").unwrap();
        assert_eq!(token(&credentials, "http://a:1"), None);
    }

    #[test]
    fn only_the_user_can_read_the_file() {
        let (_directory, credentials) = fresh();
        credentials.remember("c", &["http://a:1".into()], "t").unwrap();
        let mode = fs::metadata(credentials.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let (_directory, credentials) = fresh();
        credentials.remember("c", &["http://a:1".into()], "t").unwrap();
        fs::write(credentials.path(), "cluster = 7").unwrap();
        let error = credentials.token_for(&["http://a:1".into()]).unwrap_err();
        assert!(error.to_string().contains("credentials.toml"), "{error}");
    }
}
