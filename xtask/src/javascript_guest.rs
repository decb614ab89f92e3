//! Builds a guest in JavaScript or TypeScript: the SDK's own script has componentize-qjs put it into QuickJS.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::made::{self, Made};
use crate::wasm_target::{repository, run, succeeds};

/// What of the SDK a component is made of.
const SDK: [&str; 3] = ["src", "bin", "package-lock.json"];

/// Makes a component of a module, unless it is newer than all that it is made of.
pub(crate) fn build(module: &Path, out: &Path) -> Result<Made> {
    if !succeeds(Command::new("npm").arg("--version")) {
        return Ok(Made::Missing("npm is not here: install Node.js 20.6 or later, with npm".into()));
    }
    let sdk = repository().join("sdk/javascript");
    let mut sources = vec![module.to_owned(), repository().join("wit")];
    sources.extend(SDK.map(|part| sdk.join(part)));
    if made::is_newer(out, &sources) {
        return Ok(Made::Component);
    }
    if !sdk.join("node_modules").exists() {
        eprintln!("fetching the compiler of JavaScript components");
        let mut npm = Command::new("npm");
        npm.current_dir(&sdk).args(["ci", "--no-audit", "--no-fund", "--silent"]);
        run(npm.stdin(Stdio::null()).stdout(Stdio::null()))?;
    }
    let mut script = Command::new("node");
    script.arg(sdk.join("bin/componentize.js")).arg(module).arg("--out").arg(out);
    run(script.stdin(Stdio::null()).stdout(Stdio::null()))?;
    Ok(Made::Component)
}
