//! JavaScript: the SDK's own script bundles the handler and puts it into QuickJS.

use std::path::Path;

use anyhow::bail;

use super::WIT;
use super::tool::{run, tool, works};

/// What a handler may be called, in the order in which it is looked for.
const HANDLERS: [&str; 2] = ["handler.ts", "handler.js"];

pub(super) fn build(directory: &Path, out: &Path) -> anyhow::Result<()> {
    if !works(tool("npm", directory).arg("--version")) {
        bail!(
            "npm is not there: install Node.js 20.6 or later, with npm (Debian, Ubuntu: `apt-get install nodejs npm`; else https://nodejs.org/en/download)"
        );
    }
    let Some(handler) = HANDLERS.into_iter().find(|handler| directory.join(handler).exists()) else {
        bail!("there is neither {} nor {}", HANDLERS[0], HANDLERS[1]);
    };
    let script = "node_modules/@shardloom/guest/bin/componentize.js";
    if !directory.join(script).exists() {
        run(tool("npm", directory).args(["install", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    }
    let out = std::path::absolute(out)?;
    if !directory.join(script).exists() {
        bail!("{script} is not there: package.json must depend on @shardloom/guest");
    }
    run(tool("node", directory).arg(script).arg(handler).arg("--out").arg(out).args(["--wit", WIT]))
}
