//! All nodes of a cluster lose their power at one instant: what was on its way to the disk is lost.
//!
//! Each node's data lies on a file system in an image. The processes are halted together, and from then on the images take no write; then
//! they are copied, with nothing brought to them first. What a process wrote and did not sync is in the memory of the kernel and not in the
//! image. The processes end, the copies take the place of the images, and what a node finds on its disk is what a disk without power keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::Cluster;
use crate::mount::{Mount, image_of};
use crate::tool::run;
use crate::wait::until;

/// How long a process may take until each of its threads has halted: as long as an fdatasync that is under way.
const HALT_MAX: Duration = Duration::from_secs(30);
/// How often an image is copied that changes while it is copied.
const COPIES_MAX: usize = 10;
/// A file that nobody syncs.
const UNSYNCED: &str = "unsynced";
/// What is in it.
const WORDS: &str = "Who reads this after the cut has read what no disk was told to keep.";

/// Cuts the power of all nodes; [`Cluster::restart`] starts each from what its disk has kept.
///
/// # Errors
/// If the nodes' data is on no images, a step fails, or the cut was none: what nobody synced was kept.
pub fn cut(cluster: &mut Cluster) -> Result<()> {
    let nodes: Vec<usize> = (0..cluster.size()).collect();
    nodes.iter().try_for_each(|index| fs::write(cluster.node(*index).data().join(UNSYNCED), WORDS))?;
    nodes.iter().try_for_each(|index| cluster.stop(*index))?;
    let images: Vec<PathBuf> = nodes.iter().map(|index| image_of(&cluster.node(*index).data())).collect();
    let dead: Vec<Dead> = images.into_iter().map(Dead::new).collect::<Result<_>>()?;
    for index in &nodes {
        let pid = cluster.node(*index).pid().context("it does not run")?;
        until("every thread halted", HALT_MAX, || is_halted(pid))?;
    }
    for index in &nodes {
        let image = image_of(&cluster.node(*index).data());
        copy(&image, &image.with_extension("cut")).with_context(|| format!("the image of node {index}"))?;
    }
    nodes.iter().try_for_each(|index| cluster.kill(*index))?;
    for (index, dead) in nodes.iter().zip(dead) {
        let data = cluster.node(*index).data();
        let image = image_of(&data);
        let mount = cluster.mount_mut(*index).take().context("its data is on no image")?;
        mount.unmount()?;
        drop(dead);
        fs::rename(image.with_extension("cut"), &image)?;
        *cluster.mount_mut(*index) = Some(Mount::image(&image, &data)?);
        let kept = fs::read_to_string(data.join(UNSYNCED)).is_ok_and(|text| text == WORDS);
        ensure!(!kept, "the image of node {index} holds what nobody synced: no power was cut");
    }
    Ok(())
}

/// An image that takes no more writes, whoever holds it open: the kernel would go on to write to it what is old enough.
struct Dead {
    image: PathBuf,
}

impl Dead {
    fn new(image: PathBuf) -> Result<Self> {
        run("chattr", &["+i", &image.to_string_lossy()])?;
        Ok(Self { image })
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // What cannot be undone here shows when the image is to be removed.
        let _ = run("chattr", &["-i", &self.image.to_string_lossy()]);
    }
}

/// Whether an image can be kept from taking writes.
///
/// # Errors
/// If not.
pub(crate) fn try_out(image: &Path) -> Result<()> {
    Dead::new(image.to_owned()).map(drop)
}

/// Brings everything that was written so far to the images, as a while without a cut would: what is lost after that was written since.
///
/// # Errors
/// If a file system cannot be told.
pub fn settle(cluster: &Cluster) -> Result<()> {
    let settle = |data: PathBuf| run("sync", &["--file-system", &data.to_string_lossy()]).map(drop);
    cluster.data_directories().into_iter().try_for_each(settle)
}

/// Whether each thread of a process has halted: then none of its system calls is under way.
fn is_halted(pid: u32) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        // The state follows the name, which is in brackets and may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        ensure!(state == Some('T'), "a thread of process {pid} is in state {state:?}");
    }
    Ok(())
}

/// Copies an image as it was at one instant: a copy that equals the original once it is made does, at the end of the copying, since
/// nothing has changed between the two looks at each of its blocks.
fn copy(image: &Path, to: &Path) -> Result<()> {
    let (from, to) = (image.to_string_lossy(), to.to_string_lossy());
    for _ in 0..COPIES_MAX {
        run("cp", &["--sparse=always", &from, &to])?;
        if run("cmp", &["-s", &from, &to]).is_ok() {
            return Ok(());
        }
    }
    bail!("it changed while it was copied, {COPIES_MAX} times")
}
