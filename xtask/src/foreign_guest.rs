//! Components that were not written for Shardloom: examples that published crates carry, each built as it is, by its own manifest
//! and lock file, from the sources that cargo has fetched. Nothing of them is kept here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::wasm_target::{TARGET, Toolchain, output, repository, run};

/// One such component.
#[derive(Debug)]
pub(crate) struct ForeignGuest {
    /// Our name for it.
    pub(crate) name: &'static str,
    /// The crate.
    package: &'static str,
    /// Its example.
    example: &'static str,
    /// The workspace of ours whose lock file says which version: it uses the crate itself.
    locked_by: &'static str,
}

/// All of them: one by a whole library over wasi:http 0.2, and one for each version of it by bindings alone.
pub(crate) const FOREIGN_GUESTS: [ForeignGuest; 3] = [
    ForeignGuest {
        name: "foreign-wstd",
        package: "wstd",
        example: "http_server",
        locked_by: "examples/url-shortener",
    },
    ForeignGuest { name: "foreign-wasip2", package: "wasip2", example: "http-proxy", locked_by: "guests" },
    ForeignGuest { name: "foreign-wasip3", package: "wasip3", example: "http-proxy", locked_by: "guests" },
];

/// What `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl ForeignGuest {
    /// Builds the component; `build` is a directory of its own for what comes about on the way.
    pub(crate) fn build(&self, toolchain: &Toolchain, build: &Path) -> Result<Vec<u8>> {
        let manifest = self.manifest(toolchain)?;
        let mut cargo = toolchain.cargo();
        // Unoptimised: what such a crate needs for its other examples takes longer to compile than these run. Without debugging
        // information: it would be most of the component.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").current_dir(repository());
        cargo.args(["build", "--locked", "--target", TARGET, "--example", self.example]);
        cargo.arg("--manifest-path").arg(manifest);
        run(cargo.arg("--target-dir").arg(build))?;
        let file = format!("{}.wasm", self.example.replace('-', "_"));
        let file = build.join(TARGET).join("debug/examples").join(file);
        fs::read(&file).with_context(|| file.display().to_string())
    }

    /// Where the crate's own manifest is; cargo fetches it, if it is not here yet.
    fn manifest(&self, toolchain: &Toolchain) -> Result<PathBuf> {
        let mut cargo = toolchain.cargo();
        cargo.current_dir(repository().join(self.locked_by));
        cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]);
        let metadata: Metadata = serde_json::from_str(&output(&mut cargo)?).context("`cargo metadata`")?;
        let package = metadata.packages.into_iter().filter(|package| package.name == self.package);
        // Where there are several versions, one is another crate's; ours is the newest.
        let package = package.max_by_key(|package| version(&package.version));
        let package = package.with_context(|| format!("{} is not locked there", self.package))?;
        let is_example =
            |target: &Target| target.name == self.example && target.kind.iter().any(|kind| kind == "example");
        let has_example = package.targets.iter().any(is_example);
        let Package { version, manifest_path, .. } = package;
        has_example.then_some(manifest_path).with_context(|| {
            format!("{} {version} has no example {}: choose another one", self.package, self.example)
        })
    }
}

/// The numbers of a version, for comparing.
fn version(text: &str) -> Vec<u64> {
    text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}
