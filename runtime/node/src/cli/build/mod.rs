//! `shardloom build`: makes a component of a directory's source.

mod c;
mod javascript;
mod python;
mod rust;
mod tool;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use shardloom_host::{Inspection, inspect};

use super::Global;
use super::project::{Language, Project};

/// Where a project has the interfaces.
const WIT: &str = "wit";

/// Build the component of a directory that `shardloom new` made, and show what it wants.
#[derive(Args)]
#[command(after_help = "Examples:
  shardloom build
  shardloom build greeter")]
pub(super) struct Build {
    /// The directory.
    #[arg(default_value = ".")]
    directory: PathBuf,
}

impl Build {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let project = Project::open(&self.directory)?;
        let component = build(&self.directory, &project)?;
        let bytes = std::fs::read(&component).with_context(|| component.display().to_string())?;
        let inspection = inspect(&bytes)?;
        if let Some(refusal) = &inspection.refusal {
            bail!("{} is built, and no cluster would take it: {refusal}", component.display());
        }
        let shown = component.display().to_string();
        let imports: Vec<&String> = inspection.imports.iter().map(|(name, _)| name).collect();
        let reply = json!({
            "component": shown,
            "bytes": bytes.len(),
            "world": inspection.world,
            "imports": imports,
        });
        let directory = self.directory.display().to_string();
        global.output().print(&reply, |_| Ok(told(&directory, &shown, bytes.len(), &inspection)))
    }
}

fn told(directory: &str, component: &str, bytes: usize, inspection: &Inspection) -> String {
    let mut text = String::new();
    let world = inspection.world.map_or_else(|| "no world".to_owned(), |world| world.to_string());
    let _ = writeln!(text, "{component}: {bytes} bytes, a {world}; it imports");
    for (import, _) in &inspection.imports {
        let _ = writeln!(text, "  {import}");
    }
    let _ = writeln!(text, "Deploy it: shardloom deploy {directory}");
    text
}

/// Builds a project; returns its component.
///
/// # Errors
/// If a tool is missing, with what installs it; if the source does not compile, which the tool has said then.
pub(super) fn build(directory: &Path, project: &Project) -> anyhow::Result<PathBuf> {
    let out = project.component(directory);
    let built = match project.language {
        Language::Rust => rust::build(directory, &out),
        Language::Javascript => javascript::build(directory, &out),
        Language::Python => python::build(directory, &out),
        // Who takes requests by wasi:http says where their key is.
        Language::C if project.deploy.key_from.is_some() => c::build(directory, &out, c::HTTP),
        Language::C => c::build(directory, &out, c::SHARD_HANDLER),
    };
    built.with_context(|| format!("building {} ({})", project.name, project.language))?;
    Ok(out)
}
