//! Latencies counted in buckets that grow with them: each eighth of a doubling has its own, so a quantile is right to an eighth, and counts of
//! several nodes add up.

/// Buckets of a histogram: from a microsecond to a minute, about.
pub const BUCKETS: usize = 192;
/// Buckets of a doubling.
const PARTS: u64 = 8;
const PARTS_LOG2: u32 = 3;

/// The bucket of a latency; those beyond the last bucket are in it.
pub fn bucket_of(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(PARTS_LOG2 + 1);
    let bucket = PARTS * u64::from(shift) + (micros >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The latency in microseconds that so much of all, between 0 and 1, stay below: the end of its bucket. None without any.
pub fn quantile(counts: &[u64], part: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = ((total as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    })?;
    let shift = (bucket as u64 / PARTS).saturating_sub(1);
    Some((bucket as u64 - PARTS * shift + 1) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_an_eighth() {
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
        for micros in [0, 1, 7, 8, 15, 16, 17, 999, 1_000, 12_345, 1_000_000, 50_000_000] {
            let mut counts = [0; BUCKETS];
            counts[bucket_of(micros)] = 3;
            for part in [0.0, 0.5, 0.99, 1.0] {
                let found = quantile(&counts, part).unwrap();
                assert!(found > micros && found - 1 <= micros + micros / PARTS, "{micros}: {found}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for micros in 0..100_000 {
            let bucket = bucket_of(micros);
            assert!(bucket == last || bucket == last + 1, "{micros}");
            last = bucket;
        }
    }

    #[test]
    fn half_and_nearly_all_are_told_apart() {
        let mut counts = [0; BUCKETS];
        counts[bucket_of(1_000)] = 98;
        counts[bucket_of(80_000)] = 2;
        assert!(quantile(&counts, 0.5).unwrap() < 1_200);
        assert!(quantile(&counts, 0.99).unwrap() >= 80_000);
    }
}
