//! Somebody else's server as a child process, found on this machine or left out.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use shardloom_harness::until;

/// How long a server may take until it listens.
const READY_MAX: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it, its output in a file of its directory.
    pub(crate) fn start(command: &mut Command, directory: &Path) -> Result<Server> {
        std::fs::create_dir_all(directory)?;
        let log = File::create(directory.join("log"))?;
        let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Server(command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program is installed; says what to install if not.
pub(crate) fn is_installed(program: &str, package: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("left out: {program} is not installed (`apt-get install {package}`)");
    }
    found
}

/// A free port on loopback.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Waits until somebody listens there.
pub(crate) fn wait_for(address: SocketAddr) -> Result<()> {
    until("a server to listen", READY_MAX, || Ok(TcpStream::connect(address).map(drop)?))
}
