//! What the processes of a system use up, by what the kernel and the product's own metrics say.
//!
//! Bytes to the disk are those of the whole device that holds the temporary directory: what `/proc/PID/io` says counts whole folios, however little
//! of them was written. So nothing else should write meanwhile; the systems that are not called do not.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Clock ticks a second in `/proc/PID/stat`; fixed by the kernel's interface to programs.
const TICKS_PER_S: f64 = 100.0;
/// The place of the sectors written in a block device's `stat`, and how long a sector is there, whatever the device's own are.
const SECTORS_WRITTEN: usize = 6;
const SECTOR_BYTES: f64 = 512.0;

/// Sums over processes; differences of them, and shares of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Time on a processor, in seconds.
    pub(crate) cpu_s: f64,
    /// Bytes that were given to the disk; 0 where the kernel does not count them.
    pub(crate) disk_bytes: f64,
    /// Bytes that the nodes sent each other; 0 where nobody counts them.
    pub(crate) wire_bytes: f64,
    /// Group commits of the write-ahead logs; 0 where nobody counts them.
    pub(crate) flushes: f64,
    /// Records in them.
    pub(crate) records: f64,
}

impl Spent {
    /// Processor time of some processes, and what the disk has taken in.
    pub(crate) fn of(pids: impl IntoIterator<Item = u32>) -> Result<Spent> {
        let mut spent = Spent::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name before may hold anything but ends with the last parenthesis.
            let fields: Vec<&str> =
                stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
            let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
            spent.cpu_s += (ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS_PER_S;
        }
        spent.disk_bytes = device_bytes()?;
        Ok(spent)
    }

    /// Adds what a node's metrics say.
    pub(crate) fn add_metrics(&mut self, text: &str) {
        let sum = |name: &str| -> f64 {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            lines.sum()
        };
        self.wire_bytes += sum("shardloom_peer_sent_bytes_total");
        self.flushes += sum("shardloom_wal_commits_total");
        self.records += sum("shardloom_wal_records_total");
    }

    fn each(&self, other: &Spent, with: impl Fn(f64, f64) -> f64) -> Spent {
        Spent {
            cpu_s: with(self.cpu_s, other.cpu_s),
            disk_bytes: with(self.disk_bytes, other.disk_bytes),
            wire_bytes: with(self.wire_bytes, other.wire_bytes),
            flushes: with(self.flushes, other.flushes),
            records: with(self.records, other.records),
        }
    }

    /// What was used up since.
    pub(crate) fn since(&self, before: &Spent) -> Spent {
        self.each(before, |now, before| now - before)
    }

    /// The share of one of so many calls.
    pub(crate) fn per(&self, calls: f64) -> Spent {
        self.each(self, |whole, _| whole / calls.max(1.0))
    }

    /// The round in the middle by processor time.
    pub(crate) fn middle(rounds: &[Spent]) -> Spent {
        let mut rounds = rounds.to_vec();
        rounds.sort_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s));
        rounds.get(rounds.len() / 2).copied().unwrap_or_default()
    }

    /// For programs.
    pub(crate) fn value(&self) -> Value {
        json!({ "cpu_us": self.cpu_s * 1e6, "disk_bytes": self.disk_bytes, "wire_bytes": self.wire_bytes,
                "flushes": self.flushes, "records": self.records })
    }
}

/// What the device below the temporary directory has written since the machine started.
fn device_bytes() -> Result<f64> {
    let device = fs::metadata(std::env::temp_dir())?.dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff_ff00);
    // A temporary directory in memory has no such device.
    let Ok(stat) = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")) else { return Ok(0.0) };
    let sectors = stat.split_ascii_whitespace().nth(SECTORS_WRITTEN).context("sectors written")?;
    Ok(sectors.parse::<f64>()? * SECTOR_BYTES)
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "each: {:.0} us of CPU, {:.0} B to disk", self.cpu_s * 1e6, self.disk_bytes)?;
        if self.wire_bytes > 0.0 {
            write!(f, ", {:.0} B between nodes", self.wire_bytes)?;
        }
        if self.flushes > 0.0 {
            write!(f, ", {:.2} flushes of {:.1} records", self.flushes, self.records / self.flushes)?;
        }
        Ok(())
    }
}
