//! What Prometheus reads of the parts below the server: the write-ahead log, the flushes of states, the peers' port.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use shardloom_cluster::ClusterHandle;

/// Asks the cluster for its figures whenever somebody reads the metrics.
pub(super) struct DiskAndNet {
    cluster: ClusterHandle,
}

impl DiskAndNet {
    /// Of this node.
    pub(super) fn new(cluster: ClusterHandle) -> DiskAndNet {
        DiskAndNet { cluster }
    }
}

impl fmt::Debug for DiskAndNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskAndNet").finish_non_exhaustive()
    }
}

impl Collector for DiskAndNet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = self.cluster.figures();
        let (wal, flushes, traffic) = (figures.wal, figures.flushes, figures.traffic);
        let mut counter = |name, help, unit: Option<Unit>, value: u64| {
            let metric = ConstCounter::new(value);
            let encoder = encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?;
            metric.encode(encoder)
        };
        let bytes = || Some(Unit::Bytes);
        counter(
            "wal_commits",
            "Group commits of the write-ahead log, one fdatasync each",
            None,
            wal.commits,
        )?;
        counter("wal_records", "Records in them", None, wal.records)?;
        counter("wal_records_carried", "Records written again to free old segments", None, wal.carried)?;
        counter("wal_written", "What the write-ahead log has written", bytes(), wal.written_bytes)?;
        counter("state_flushes", "Checkpoints of the states' database", None, flushes.rounds)?;
        counter("state_flushed_shards", "Shards brought up to their logs by them", None, flushes.shards)?;
        counter("peer_sent", "What this node has sent to its peers", bytes(), traffic.sent_bytes)?;
        counter("peer_received", "What it has received from them", bytes(), traffic.received_bytes)?;
        for (name, help, micros) in [
            ("wal_sync", "Time in fdatasync", wal.sync_us),
            ("state_flush", "Time in checkpoints of the states' database", flushes.micros),
        ] {
            let metric = ConstCounter::new(micros as f64 / 1e6);
            let encoder =
                encoder.encode_descriptor(name, help, Some(&Unit::Seconds), metric.metric_type())?;
            metric.encode(encoder)?;
        }
        for (name, help, unit, value) in [
            ("wal_segments", "Segment files of the write-ahead log", None, wal.segments),
            ("wal_live", "What the write-ahead log still needs", Some(Unit::Bytes), wal.live_bytes),
        ] {
            let metric = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?;
            metric.encode(encoder)?;
        }
        Ok(())
    }
}
