//! What a fault needs of the machine, tried out before it is used: a test skips what the machine does not offer, and says so.

use std::io::Write;

use anyhow::Result;

use crate::mount::Mount;
use crate::namespaces::Namespaces;
use crate::power;
use crate::tool::run;

/// How large a file system is that is only tried out.
const TRIAL_BYTES: u64 = 8 << 20;

/// Something that only some machines offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Network namespaces with a packet filter in each.
    Namespaces,
    /// File systems in memory.
    Tmpfs,
    /// File systems in files.
    Images,
    /// A C compiler, and a loader that preloads what it made.
    Compiler,
}

impl Means {
    /// Whether the machine offers all of these; where it does not, standard error says what is skipped and why.
    pub fn offered(means: &[Means]) -> bool {
        for one in means {
            if let Err(error) = one.try_out() {
                // Straight to the stream: the test runner would keep the words of a test that passes to itself.
                let _ = writeln!(std::io::stderr(), "skipped, this machine has no {one:?}: {error:#}");
                return false;
            }
        }
        true
    }

    fn try_out(self) -> Result<()> {
        match self {
            Means::Namespaces => Namespaces::new()?.try_out(),
            Means::Tmpfs => Mount::tmpfs(tempfile::tempdir()?.path(), TRIAL_BYTES).map(drop),
            Means::Images => {
                let directory = tempfile::tempdir()?;
                let (image, at) = (directory.path().join("image"), directory.path().join("at"));
                let _mount = Mount::new_image(&image, &at, TRIAL_BYTES)?;
                power::try_out(&image)
            }
            Means::Compiler => run("cc", &["--version"]).map(drop),
        }
    }
}
