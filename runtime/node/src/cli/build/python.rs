//! Python: the SDK's own script has componentize-py put the handler into CPython.

use std::path::Path;

use anyhow::bail;

use super::WIT;
use super::tool::{PYTHON, pip_install, run, tool, works};

/// The compiler that the SDK is tested with.
const COMPILER: &str = "componentize-py==0.25.1";

/// Pythons that may have it, the project's own before that of the machine.
const PYTHONS: [&str; 3] = [".venv/bin/python", "venv/bin/python", "python3"];

pub(super) fn build(directory: &Path, out: &Path) -> anyhow::Result<()> {
    let own = |python: &&str| !python.contains('/') || directory.join(python).exists();
    let has = |python: &&str| works(tool(python, directory).args(["-c", "import componentize_py"]));
    let Some(python) = PYTHONS.into_iter().filter(own).find(|python| has(python)) else {
        if !works(tool("python3", directory).arg("--version")) {
            bail!("python3 is not there: install {PYTHON}");
        }
        bail!("componentize-py is not there: `{}`", pip_install(directory, COMPILER));
    };
    let out = std::path::absolute(out)?;
    let mut script = tool(python, directory);
    script.args(["shardloom_componentize.py", "handler.py", "--wit", WIT, "--out"]).arg(out);
    run(&mut script)
}
