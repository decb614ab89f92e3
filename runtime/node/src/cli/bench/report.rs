//! What a run has come to: as JSON for programs, as tables and a histogram for people.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::load::{Loop, Through};
use super::nodes::Nodes;
use super::requests::Weighted;
use super::tally::{Part, Tally};
use crate::cli::table::{Align, Table};

/// Quantiles that are told, and their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];
/// The longest bar of a histogram, in letters.
const BAR_MAX: u64 = 40;
/// From this share of its one thread on, what the generator measures may be itself.
const BUSY: f64 = 0.8;

/// One way of calling, and what was seen of it.
pub(super) struct Lane {
    pub(super) through: Through,
    pub(super) tally: Tally,
}

/// A whole run.
pub(super) struct Report<'a> {
    pub(super) workload: &'a str,
    pub(super) pattern: Loop,
    pub(super) keys: u32,
    pub(super) zipf: Option<f64>,
    pub(super) seed: u64,
    pub(super) methods: &'a [Weighted],
    pub(super) nodes: &'a Nodes,
    pub(super) lanes: &'a [Lane],
    pub(super) warm_up: &'a Part,
    /// Processor time of this process while it measured, for each second of it.
    pub(super) busy: f64,
    pub(super) interrupted: bool,
}

impl Report<'_> {
    /// For programs.
    pub(super) fn value(&self) -> Value {
        let (clients, per_second, outstanding) = match self.pattern {
            Loop::Closed { clients } => (Some(clients), None, None),
            Loop::Open { per_second, outstanding } => (None, Some(per_second), Some(outstanding)),
        };
        json!({
            "workload": self.workload,
            "loop": if clients.is_some() { "closed" } else { "open" },
            "clients": clients, "rate": per_second, "outstanding_max": outstanding,
            "keys": self.keys, "zipf": self.zipf, "seed": self.seed,
            "interrupted": self.interrupted,
            "generator_busy": rounded(self.busy),
            "warm_up": { "ok": self.warm_up.ok, "failed": self.warm_up.failed },
            "lanes": self.lanes.iter().map(|lane| self.lane(lane)).collect::<Vec<_>>(),
        })
    }

    fn lane(&self, Lane { through, tally }: &Lane) -> Value {
        let nodes = seen(&tally.nodes).map(|(number, part)| {
            let (id, http) = self.nodes.name(number);
            json!({ "node": id, "http": http, "ok": part.ok, "failed": part.failed,
                    "latency_us": latencies(&part.latencies) })
        });
        let methods = seen(&tally.methods).filter_map(|(number, part)| {
            let method = self.methods.get(number)?;
            Some(
                json!({ "method": method.name, "weight": method.weight, "ok": part.ok, "failed": part.failed,
                         "latency_us": latencies(&part.latencies) }),
            )
        });
        let failures = tally.failures.iter().map(|((code, executed), failures)| {
            json!({ "code": code, "executed": executed, "calls": failures.calls, "detail": failures.detail })
        });
        let steps = steps(&tally.all.latencies);
        let histogram = steps.iter().map(|(upto, calls)| json!({ "upto_us": upto, "calls": calls }));
        json!({
            "through": name(*through), "seconds": rounded(tally.time.as_secs_f64()),
            "ok": tally.all.ok, "failed": tally.all.failed, "per_second": rounded(tally.per_second()),
            "direct": tally.direct, "late": tally.late, "not_started": tally.not_started,
            "latency_us": latencies(&tally.all.latencies),
            "nodes": nodes.collect::<Vec<_>>(), "methods": methods.collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(), "histogram": histogram.collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = self.title();
        let mut table = Table::new(&columns("THROUGH", "OK/S"));
        for Lane { through, tally } in self.lanes {
            let per_second = format!("{:.1}", tally.per_second());
            table.row(cells(name(*through).to_owned(), &tally.all, per_second));
        }
        text.push_str(&table.to_string());
        for lane in self.lanes {
            text.push_str(&self.details(lane));
        }
        for warning in self.warnings() {
            text.push_str(&format!("\nwarning    {warning}\n"));
        }
        text
    }

    fn title(&self) -> String {
        let pattern = match self.pattern {
            Loop::Closed { clients } => format!("closed loop, {clients} client(s)"),
            Loop::Open { per_second, outstanding } => {
                format!("open loop, {per_second} calls a second, at most {outstanding} at once")
            }
        };
        let spread = self.zipf.map_or("uniform".to_owned(), |exponent| format!("zipf {exponent}"));
        let ended = if self.interrupted { "; ended early" } else { "" };
        format!(
            "{}: {pattern}; {} key(s), {spread}, seed {}; this process took {:.0} % of a processor{ended}\n\n",
            self.workload,
            self.keys,
            self.seed,
            self.busy * 100.0
        )
    }

    fn details(&self, Lane { through, tally }: &Lane) -> String {
        let through = name(*through);
        let share = |calls: u64, all: u64| format!("{:.1} %", 100.0 * calls as f64 / all.max(1) as f64);
        let answered: u64 = tally.all.ok + tally.all.failed;
        let mut text = format!(
            "\nthrough {through}, by node that answered; {} ran on the node that was asked\n",
            share(tally.direct, answered)
        );
        let mut table = Table::new(&columns("NODE", "HTTP"));
        for (number, part) in seen(&tally.nodes) {
            let (id, http) = self.nodes.name(number);
            table.row(cells(id.map(|id| id.to_string()).unwrap_or_default(), part, http.to_owned()));
        }
        text.push_str(&table.to_string());
        if tally.methods.len() > 1 {
            text.push_str(&format!("\nthrough {through}, by method\n"));
            let mut table = Table::new(&columns("METHOD", "WEIGHT"));
            for (number, part) in seen(&tally.methods) {
                if let Some(method) = self.methods.get(number) {
                    table.row(cells(method.name.clone(), part, method.weight.to_string()));
                }
            }
            text.push_str(&table.to_string());
        }
        if !tally.failures.is_empty() {
            text.push_str(&format!("\nthrough {through}, calls that failed\n"));
            let left = |name| (name, Align::Left);
            let columns = [left("CODE"), left("EXECUTED"), ("CALLS", Align::Right), left("ONE OF THEM")];
            let mut table = Table::new(&columns);
            for ((code, executed), failures) in &tally.failures {
                let calls = failures.calls.to_string();
                table.row([code.clone(), (*executed).to_owned(), calls, failures.detail.clone()]);
            }
            text.push_str(&table.to_string());
        }
        if tally.all.ok > 0 {
            text.push_str(&format!("\nthrough {through}, latencies of calls that succeeded\n"));
            text.push_str(&histogram(&tally.all.latencies));
        }
        text
    }

    /// What makes the figures say less than they seem to.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for Lane { through, tally } in self.lanes {
            let through = name(*through);
            if tally.not_started > 0 {
                warnings.push(format!(
                    "through {through}: {} calls did not begin, since as many as may be were under way: the cluster does not keep up \
                     with the rate, and the latencies would grow with the length of the run",
                    tally.not_started
                ));
            }
            if tally.late > 0 {
                warnings.push(format!(
                    "through {through}: {} calls began more than 1 ms late; that is part of their latency",
                    tally.late
                ));
            }
        }
        if self.busy > BUSY {
            warnings.push(
                "this process has one thread and was busy nearly all the time: the figures may be its own; call from several machines"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// A line on the last second.
pub(super) fn progress(second: u64, phase: &str, recent: &Part) -> String {
    let ms = |share| ms(recent.latencies.value_at_quantile(share));
    format!(
        "{second:>4} s  {phase:<16} {:>8} ok {:>6} failed   p50 {:>8} ms   p99 {:>8} ms",
        recent.ok,
        recent.failed,
        ms(0.5),
        ms(0.99)
    )
}

/// The name of a way of calling.
pub(super) fn name(through: Through) -> &'static str {
    match through {
        Through::All => "all",
        Through::One => "one",
        Through::Owner => "owner",
    }
}

fn seen(parts: &[Part]) -> impl Iterator<Item = (usize, &Part)> {
    parts.iter().enumerate().filter(|(_, part)| part.ok + part.failed > 0)
}

/// Numbers of a report have three digits behind the point: more would not be true.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

fn latencies(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let mut value =
        json!({ "mean": rounded(histogram.mean()), "min": histogram.min(), "max": histogram.max() });
    for (name, share) in QUANTILES {
        value[name] = histogram.value_at_quantile(share).into();
    }
    value
}

fn columns(first: &'static str, second: &'static str) -> [(&'static str, Align); 9] {
    let right = |name| (name, Align::Right);
    [
        (first, Align::Left),
        right(second),
        right("OK"),
        right("FAILED"),
        right("P50 MS"),
        right("P90 MS"),
        right("P99 MS"),
        right("P99.9 MS"),
        right("MAX MS"),
    ]
}

fn cells(first: String, part: &Part, second: String) -> [String; 9] {
    let of = |us: u64| if part.latencies.is_empty() { String::new() } else { ms(us) };
    let [p50, p90, p99, p999] = QUANTILES.map(|(_, share)| of(part.latencies.value_at_quantile(share)));
    let (ok, failed, max) = (part.ok.to_string(), part.failed.to_string(), of(part.latencies.max()));
    [first, second, ok, failed, p50, p90, p99, p999, max]
}

fn ms(us: u64) -> String {
    format!("{:.2}", Duration::from_micros(us).as_secs_f64() * 1_000.0)
}

/// How many latencies lie up to each of 1, 2, 5, 10, 20, 50 and so on, from the first step that has any to the last.
fn steps(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut steps: Vec<(u64, u64)> = (0..)
        .map(|number: u32| [1, 2, 5][number as usize % 3] * 10_u64.pow(number / 3))
        .take_while(|upto| *upto / 5 < histogram.high())
        .map(|upto| (upto, 0))
        .collect();
    for value in histogram.iter_recorded() {
        let at = steps.partition_point(|(upto, _)| *upto < value.value_iterated_to());
        let at = at.min(steps.len().saturating_sub(1));
        if let Some((_, calls)) = steps.get_mut(at) {
            *calls += value.count_since_last_iteration();
        }
    }
    let any = |(_, calls): &(u64, u64)| *calls > 0;
    let first = steps.iter().position(any).unwrap_or_default();
    let last = steps.iter().rposition(any).map_or(first, |last| last + 1);
    steps.get(first..last).unwrap_or_default().to_vec()
}

/// Bars, one a step.
fn histogram(latencies: &Histogram<u64>) -> String {
    let steps = steps(latencies);
    let most = steps.iter().map(|(_, calls)| *calls).max().unwrap_or_default().max(1);
    let all = latencies.len().max(1) as f64;
    let mut text = String::new();
    let mut sum = 0;
    for (upto, calls) in steps {
        sum += calls;
        // What is there at all has a bar.
        let length = (calls * BAR_MAX / most).max(u64::from(calls > 0));
        let bar: String = (0..length).map(|_| '#').collect();
        let (share, sum) = (100.0 * calls as f64 / all, 100.0 * sum as f64 / all);
        text.push_str(&format!(
            "  up to {:>10} ms  {bar:<40}  {calls:>9}  {share:>6.2} %  {sum:>6.2} %\n",
            ms(upto)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::answer::Failure;
    use crate::cli::bench::tally::Ended;

    fn part(us: &[u64]) -> Part {
        let mut part = Part::default();
        us.iter().for_each(|us| part.note(Some(Duration::from_micros(*us))));
        part
    }

    fn reported<T>(lanes: &[Lane], look: impl FnOnce(&Report<'_>) -> T) -> T {
        let nodes = Nodes::new(&[(None, "127.0.0.1:1".into()), (None, "127.0.0.1:2".into())], None).unwrap();
        let methods = ["add", "get"].map(|name| Weighted { name: name.into(), weight: 1 });
        look(&Report {
            workload: "counter",
            pattern: Loop::Open { per_second: 500.0, outstanding: 64 },
            keys: 10,
            zipf: None,
            seed: 7,
            methods: &methods,
            nodes: &nodes,
            lanes,
            warm_up: &Part::default(),
            busy: 0.1,
            interrupted: false,
        })
    }

    fn lane() -> Lane {
        let mut tally = Tally { time: Duration::from_secs(2), not_started: 5, ..Tally::default() };
        for (number, us) in [900, 1_500, 1_600, 70_000].into_iter().enumerate() {
            let outcome = Ok(Duration::from_micros(us));
            tally.note(Ended { node: 1, method: number % 2, outcome, direct: number == 0, late: false });
        }
        let outcome = Err(Failure::own("overloaded", "no", "later"));
        tally.note(Ended { node: 0, method: 0, outcome, direct: false, late: true });
        Lane { through: Through::Owner, tally }
    }

    #[test]
    fn a_histogram_counts_each_latency_once_and_has_no_empty_ends() {
        let part = part(&[900, 1_000, 1_001, 1_500, 2_000, 70_000]);
        assert_eq!(
            steps(&part.latencies),
            [(1_000, 2), (2_000, 3), (5_000, 0), (10_000, 0), (20_000, 0), (50_000, 0), (100_000, 1)]
        );
        let text = histogram(&part.latencies);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[1].contains(&"#".repeat(40)) && lines[1].contains("50.00 %"), "{text}");
        assert!(
            !lines[2].contains('#') && lines[6].contains('#') && lines[6].ends_with("100.00 %"),
            "{text}"
        );
        assert_eq!(histogram(&Part::default().latencies), "");
    }

    #[test]
    fn the_longest_latency_has_a_step() {
        let mut part = Part::default();
        part.note(Some(Duration::MAX));
        assert_eq!(steps(&part.latencies).iter().map(|(_, calls)| calls).sum::<u64>(), 1);
    }

    #[test]
    fn programs_are_told_every_call() {
        let value = reported(&[lane()], |report| report.value());
        assert_eq!(
            (&value["loop"], &value["rate"], &value["clients"]),
            (&"open".into(), &500.0.into(), &Value::Null)
        );
        let lane = &value["lanes"][0];
        assert_eq!(
            (lane["ok"].as_u64(), lane["failed"].as_u64(), lane["direct"].as_u64()),
            (Some(4), Some(1), Some(1))
        );
        assert_eq!((lane["per_second"].as_f64(), lane["not_started"].as_u64()), (Some(2.0), Some(5)));
        assert_eq!(lane["nodes"][1]["http"], "127.0.0.1:2");
        assert_eq!(lane["nodes"][0]["latency_us"], Value::Null);
        assert_eq!(lane["methods"].as_array().map(Vec::len), Some(2));
        assert_eq!(lane["failures"][0]["executed"], "no");
        assert_eq!(lane["latency_us"]["min"], 900);
        let sum: u64 =
            lane["histogram"].as_array().unwrap().iter().filter_map(|step| step["calls"].as_u64()).sum();
        assert_eq!(sum, 4);
    }

    #[test]
    fn people_are_told_what_failed_and_what_did_not_begin() {
        let text = reported(&[lane()], |report| report.text());
        for words in [
            "OK/S",
            "127.0.0.1:2",
            "overloaded",
            "later",
            "20.0 % ran on",
            "5 calls did not begin",
            "1 ms late",
            "seed 7",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
    }
}
