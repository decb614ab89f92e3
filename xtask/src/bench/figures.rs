//! Figures of several runs, as a line for people or a value for programs.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations of several runs.
#[derive(Default)]
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    /// One more.
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// Looks at each.
    pub(crate) fn each(&self, look: impl FnMut(Duration)) {
        self.0.iter().copied().for_each(look);
    }

    /// The value that this share of them does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        // Rounded up, so that a quantile is never better than what was seen.
        let index = (share * last as f64).ceil() as usize;
        sorted.get(index.min(last)).copied().unwrap_or_default()
    }

    /// The middle one, and the worst, in seconds.
    pub(crate) fn line(&self, name: &str) -> String {
        let (middle, worst) = (self.quantile(0.5).as_secs_f64(), self.quantile(1.0).as_secs_f64());
        format!("{name:<44} p50 {middle:>7.3} s   worst {worst:>7.3} s   {} runs", self.0.len())
    }

    /// All of them, in milliseconds.
    pub(crate) fn value(&self) -> Value {
        let all: Vec<u64> = self.0.iter().map(|one| one.as_millis() as u64).collect();
        json!({ "p50_ms": self.quantile(0.5).as_millis() as u64, "worst_ms": self.quantile(1.0).as_millis() as u64,
                "all_ms": all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_nine_is_the_fifth() {
        let mut figures = Figures::default();
        (1..=9).rev().for_each(|second| figures.add(Duration::from_secs(second)));
        assert_eq!(figures.quantile(0.5), Duration::from_secs(5));
        assert_eq!(figures.quantile(1.0), Duration::from_secs(9));
    }
}
