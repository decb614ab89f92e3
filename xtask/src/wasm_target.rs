//! Makes the machine able to compile Rust to WebAssembly.
//!
//! On most machines `rustup target add` does. Where rustup cannot reach its server, Debian's own `rustc-web` is taken
//! (as root, by apt), and the standard library is compiled once for WebAssembly, into `target/tools`. Nothing else of
//! the system is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The target that our guests are compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Set to anything, it keeps rustup from being asked: the way of machines where it has nothing to give.
const NO_RUSTUP: &str = "SHARDLOOM_NO_RUSTUP";

/// How long rustup may try to download the target.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(120);

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What compiles guests.
#[derive(Debug)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    /// The compiler, where it is not the one that cargo would take.
    rustc: Option<PathBuf>,
    /// Where the standard library for WebAssembly is, if it is not beside the compiler.
    sysroot: Option<PathBuf>,
    /// The linkers of the compiler that this program was built with: they speak the component model.
    linkers: PathBuf,
}

impl Toolchain {
    /// A cargo command that compiles for [`TARGET`] with the component linker, whatever the caller's environment says.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for variable in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
        ] {
            command.env_remove(variable);
        }
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTDOC");
        }
        let mut flags = vec![
            format!("-Clinker={}", self.linkers.join("wasm-component-ld").display()),
            format!("-Clink-arg=--wasm-ld-path={}", self.linkers.join("gcc-ld/wasm-ld").display()),
            // The stack comes first in memory, so that overrunning it traps; guests need little of it.
            "-Clink-arg=-zstack-size=65536".to_owned(),
        ];
        if let Some(sysroot) = &self.sysroot {
            flags.push(format!("--sysroot={}", sysroot.display()));
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        command
    }
}

/// Finds a toolchain that compiles to WebAssembly, or makes one.
pub(crate) fn ensure() -> Result<Toolchain> {
    let rustc = PathBuf::from("rustc");
    let linkers = PathBuf::from(output(Command::new(&rustc).args(["--print", "sysroot"]))?)
        .join("lib/rustlib")
        .join(host_triple(&rustc)?)
        .join("bin");
    ensure!(
        linkers.join("wasm-component-ld").exists(),
        "{} has no wasm-component-ld: install Rust by rustup (https://rustup.rs)",
        linkers.display()
    );
    if std::env::var_os(NO_RUSTUP).is_none() && (has_std(&rustc)? || rustup_adds_target()) && has_std(&rustc)?
    {
        return Ok(Toolchain { cargo: PathBuf::from("cargo"), rustc: None, sysroot: None, linkers });
    }
    eprintln!("rustup has no {TARGET} to give: taking Debian's rustc-web");
    let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    install_debian_packages()?;
    let sysroot = build_std(&cargo, &rustc)?;
    Ok(Toolchain { cargo, rustc: Some(rustc), sysroot: Some(sysroot), linkers })
}

/// Whether the compiler has a standard library for the target.
fn has_std(rustc: &Path) -> Result<bool> {
    let directory = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(has_core(Path::new(&directory)))
}

fn has_core(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn rustup_adds_target() -> bool {
    eprintln!("adding {TARGET} by rustup");
    let child = Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    let give_up = Instant::now() + RUSTUP_TIME_MAX;
    while Instant::now() < give_up {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(Duration::from_millis(100)),
            Err(_) => return false,
        }
    }
    eprintln!("rustup took more than {} s", RUSTUP_TIME_MAX.as_secs());
    // It has had its time; how it ends no longer matters.
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn install_debian_packages() -> Result<()> {
    if succeeds(Command::new("dpkg").arg("-s").args(DEBIAN_PACKAGES)) {
        return Ok(());
    }
    let wanted = DEBIAN_PACKAGES.join(" ");
    let root = output(Command::new("id").arg("-u"))? == "0";
    ensure!(
        root,
        "to compile guests, run `rustup target add {TARGET}`, or as root `apt-get install {wanted}`"
    );
    if !succeeds(Command::new("apt-cache").args(["show", "rustc-web"])) {
        run(apt_get().args(["-qq", "update"]))?;
    }
    eprintln!("installing {wanted}");
    // An archive directory of our own: other runs of apt may empty the shared one at any time.
    let archives = tools()?.join("apt");
    fs::create_dir_all(archives.join("partial"))?;
    let option = format!("Dir::Cache::archives={}", archives.display());
    let mut install = apt_get();
    install.args([
        "-qq",
        "-y",
        "-o",
        &option,
        "-o",
        "APT::Sandbox::User=root",
        "install",
        "--no-install-recommends",
    ]);
    let done = run(install.args(DEBIAN_PACKAGES).stdout(Stdio::null()));
    fs::remove_dir_all(&archives)?;
    done.with_context(|| {
        format!("to compile guests, `rustup target add {TARGET}` or {wanted} of Debian is needed")
    })
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command.args(["-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]);
    command
}

/// Compiles the standard library with Debian's compiler, from Debian's sources; once per version.
fn build_std(cargo: &Path, rustc: &Path) -> Result<PathBuf> {
    let version = output(Command::new(rustc).arg("--version"))?;
    let sysroot = tools()?.join("wasm-sysroot");
    let stamp = sysroot.join("built-by");
    if fs::read_to_string(&stamp).is_ok_and(|built_by| built_by == version) {
        return Ok(sysroot);
    }
    eprintln!("compiling the standard library for {TARGET} with {version}");
    let work = tools()?.join("wasm-sysroot-build");
    remove(&work)?;
    remove(&sysroot)?;
    fs::create_dir_all(work.join("src"))?;
    fs::write(work.join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(work.join("Cargo.toml"), SYSROOT_MANIFEST)?;
    let mut build = Command::new(cargo);
    for variable in ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        build.env_remove(variable);
    }
    build.current_dir(&work).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    build.env("CARGO_TARGET_DIR", work.join("target")).env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes");
    run(build.args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET]))?;

    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&library)?;
    for entry in fs::read_dir(work.join("target").join(TARGET).join("release/deps"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libsysroot_builder") {
            fs::copy(entry.path(), library.join(&name))?;
        }
    }
    ensure!(
        has_core(&library),
        "the standard library was compiled, but {} has no libcore",
        library.display()
    );
    remove(&work)?;
    // Last: a sysroot with a stamp is whole.
    fs::write(&stamp, version)?;
    Ok(sysroot)
}

const SYSROOT_MANIFEST: &str = r#"[package]
name = "sysroot-builder"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
codegen-units = 1
panic = "abort"
"#;

/// The directory of tools that this program made or fetched: `target/tools` of the repository.
pub(crate) fn tools() -> Result<PathBuf> {
    let directory = repository().join("target/tools");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

fn host_triple(rustc: &Path) -> Result<String> {
    let text = output(Command::new(rustc).arg("-vV"))?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    triple.context("`rustc -vV` names no host")
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(())
}

/// Runs a command whose failure is an answer too; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// What a command that must succeed prints, without the last line's end.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
