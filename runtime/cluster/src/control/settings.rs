//! What operators may set for the whole cluster while it runs. The values are in the control log: every node has the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shardloom_sharding::map::REPLICAS_MAX;
use shardloom_sharding::protocol::leader::{FLAPS_MAX, FlapRule, Levelling};

/// One thing that may be set. Encoded by position: new ones are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Setting {
    /// How many replicas a shard has.
    Replicas,
    /// How many shards learn at once per node.
    MovesInFlight,
    /// Bytes of snapshots that a node sends in a second.
    MoveRate,
    /// How long a silent node stays a replica, in milliseconds.
    ReplicaGrace,
    /// Whether the leader moves shards for the sake of balance: 1, or 0 while that is paused.
    Levelling,
    /// How far a node's load may be from its share, in percent of the share.
    BalanceThreshold,
    /// How long a shard that was moved for the sake of balance is not moved again for it, in milliseconds.
    CoolDown,
    /// How many outages a node may have within the window before it is quarantined.
    FlapLimit,
    /// The window in which a node's outages are counted, in milliseconds.
    FlapWindow,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes in a second.
    BytesPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// On or off.
    Switch,
    /// Parts of a hundred.
    Percent,
}

/// Why a value cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// There is no such setting.
    #[error("there is no setting {name:?}: `shardloom settings` lists them")]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The text is no value of this setting.
    #[error("{text:?} is no value for {}: {}", setting.name(), setting.unit().example())]
    Unreadable {
        /// The setting.
        setting: Setting,
        /// The text that was given.
        text: String,
    },
    /// The value is too small or too large.
    #[error(
        "{} is not within {} and {} for {}",
        setting.show(*value), setting.show(setting.least()), setting.show(setting.most()), setting.name()
    )]
    OutOfRange {
        /// The setting.
        setting: Setting,
        /// The value that was given.
        value: u64,
    },
}

const MINUTE_MS: u64 = 60_000;
/// Replicas, where nobody has said otherwise.
const REPLICAS: u64 = 3;
/// Each shard that learns costs its owner reads, and its learner writes, beside what they serve.
const MOVES_IN_FLIGHT: u64 = 8;
/// More is no bound any more.
const MOVES_IN_FLIGHT_MOST: u64 = 4_096;
/// A quarter of a 1 Gbit/s link, and a third of what a plain disk takes in.
const MOVE_RATE: u64 = 32 << 20;
/// Below it, a large shard would never be there.
const MOVE_RATE_LEAST: u64 = 64 << 10;
const MOVE_RATE_MOST: u64 = 16 << 30;
/// A restart, also of a machine, must not set all of its data moving.
const REPLICA_GRACE_MS: u64 = 10 * MINUTE_MS;
/// Twice a lease: before that nobody knows whether the node is silent at all.
const REPLICA_GRACE_LEAST_MS: u64 = 2_000;
const REPLICA_GRACE_MOST_MS: u64 = 7 * 24 * 60 * MINUTE_MS;
/// What moves cost, a tenth more or less of load is not worth.
const BALANCE_THRESHOLD_PERCENT: u64 = 10;
/// Beyond it, a node may carry twice its share: no balance any more.
const BALANCE_THRESHOLD_MOST_PERCENT: u64 = 100;
/// Ten runs of the weigher: a load that comes and goes in that time moves a shard once.
const COOL_DOWN_MS: u64 = 5 * MINUTE_MS;
const COOL_DOWN_MOST_MS: u64 = 24 * 60 * MINUTE_MS;
/// Below it, two outages would have to follow each other faster than a node can start.
const FLAP_WINDOW_LEAST_MS: u64 = 10_000;
const FLAP_WINDOW_MOST_MS: u64 = 24 * 60 * MINUTE_MS;

impl Setting {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Setting; 9] = [
        Setting::Replicas,
        Setting::MovesInFlight,
        Setting::MoveRate,
        Setting::ReplicaGrace,
        Setting::Levelling,
        Setting::BalanceThreshold,
        Setting::CoolDown,
        Setting::FlapLimit,
        Setting::FlapWindow,
    ];

    /// What operators call it.
    pub fn name(self) -> &'static str {
        match self {
            Setting::Replicas => "replicas",
            Setting::MovesInFlight => "moves_in_flight",
            Setting::MoveRate => "move_rate",
            Setting::ReplicaGrace => "replica_grace",
            Setting::Levelling => "levelling",
            Setting::BalanceThreshold => "balance_threshold",
            Setting::CoolDown => "cool_down",
            Setting::FlapLimit => "flap_limit",
            Setting::FlapWindow => "flap_window",
        }
    }

    /// What it is for, in one sentence.
    pub fn about(self) -> &'static str {
        match self {
            Setting::Replicas => {
                "how many nodes hold a copy of each shard; fewer nodes: as many as there are"
            }
            Setting::MovesInFlight => "how many shards learn at once per node when data moves",
            Setting::MoveRate => "how fast a node sends the state of shards that move",
            Setting::ReplicaGrace => {
                "how long a silent node keeps its replicas before they are made anew elsewhere"
            }
            Setting::Levelling => "whether shards move by themselves to level the load",
            Setting::BalanceThreshold => "how far a node's load may be from its share before shards move",
            Setting::CoolDown => {
                "how long a shard that has moved to level the load is not moved again for it"
            }
            Setting::FlapLimit => {
                "how many outages a node may have within flap_window; with more it is quarantined (0: never)"
            }
            Setting::FlapWindow => "the time in which a node's outages are counted",
        }
    }

    /// What its value counts.
    pub fn unit(self) -> Unit {
        match self {
            Setting::Replicas | Setting::MovesInFlight | Setting::FlapLimit => Unit::Count,
            Setting::MoveRate => Unit::BytesPerSecond,
            Setting::ReplicaGrace | Setting::CoolDown | Setting::FlapWindow => Unit::Milliseconds,
            Setting::Levelling => Unit::Switch,
            Setting::BalanceThreshold => Unit::Percent,
        }
    }

    /// Its value where nobody has set it.
    pub fn default_value(self) -> u64 {
        match self {
            Setting::Replicas => REPLICAS,
            Setting::MovesInFlight => MOVES_IN_FLIGHT,
            Setting::MoveRate => MOVE_RATE,
            Setting::ReplicaGrace => REPLICA_GRACE_MS,
            Setting::Levelling => 1,
            Setting::BalanceThreshold => BALANCE_THRESHOLD_PERCENT,
            Setting::CoolDown => COOL_DOWN_MS,
            Setting::FlapLimit => u64::from(FlapRule::DEFAULT.limit),
            Setting::FlapWindow => FlapRule::DEFAULT.window.as_millis() as u64,
        }
    }

    /// The least value.
    pub fn least(self) -> u64 {
        match self {
            Setting::Replicas | Setting::MovesInFlight => 1,
            Setting::MoveRate => MOVE_RATE_LEAST,
            Setting::ReplicaGrace => REPLICA_GRACE_LEAST_MS,
            Setting::Levelling | Setting::BalanceThreshold | Setting::CoolDown | Setting::FlapLimit => 0,
            Setting::FlapWindow => FLAP_WINDOW_LEAST_MS,
        }
    }

    /// The largest value.
    pub fn most(self) -> u64 {
        match self {
            Setting::Replicas => REPLICAS_MAX as u64,
            Setting::MovesInFlight => MOVES_IN_FLIGHT_MOST,
            Setting::MoveRate => MOVE_RATE_MOST,
            Setting::ReplicaGrace => REPLICA_GRACE_MOST_MS,
            Setting::Levelling => 1,
            Setting::BalanceThreshold => BALANCE_THRESHOLD_MOST_PERCENT,
            Setting::CoolDown => COOL_DOWN_MOST_MS,
            // One more must fit into what the leader remembers.
            Setting::FlapLimit => u64::from(FLAPS_MAX) - 1,
            Setting::FlapWindow => FLAP_WINDOW_MOST_MS,
        }
    }

    /// The setting of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn of(name: &str) -> Result<Setting, BadSetting> {
        let named = Setting::ALL.into_iter().find(|setting| setting.name() == name);
        named.ok_or_else(|| BadSetting::Unknown { name: name.to_owned() })
    }

    /// Reads a value as people write it.
    ///
    /// # Errors
    ///
    /// It is none, or out of range.
    pub fn parse(self, text: &str) -> Result<u64, BadSetting> {
        let unreadable = || BadSetting::Unreadable { setting: self, text: text.to_owned() };
        let text = text.trim();
        if self.unit() == Unit::Switch {
            return match text {
                "on" => Ok(1),
                "off" => Ok(0),
                _ => Err(unreadable()),
            };
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| unreadable())?;
        let factor = self.unit().factor(suffix.trim()).ok_or_else(unreadable)?;
        let value = number.saturating_mul(factor);
        self.check(value)?;
        Ok(value)
    }

    /// Whether the value may be set.
    ///
    /// # Errors
    ///
    /// It is out of range.
    pub fn check(self, value: u64) -> Result<(), BadSetting> {
        match (self.least()..=self.most()).contains(&value) {
            true => Ok(()),
            false => Err(BadSetting::OutOfRange { setting: self, value }),
        }
    }

    /// A value as people read it, and as `parse` takes it.
    pub fn show(self, value: u64) -> String {
        if self.unit() == Unit::Switch {
            return if value == 0 { "off" } else { "on" }.to_owned();
        }
        let fitting =
            self.unit().suffixes().iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
        fitting.map_or_else(|| value.to_string(), |(suffix, factor)| format!("{}{suffix}", value / factor))
    }
}

impl Unit {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Count => "count",
            Unit::BytesPerSecond => "bytes/s",
            Unit::Milliseconds => "ms",
            Unit::Switch => "switch",
            Unit::Percent => "percent",
        }
    }

    /// The ways to write it, the largest first.
    fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Unit::Count | Unit::Switch => &[("", 1)],
            Unit::Percent => &[("%", 1)],
            Unit::BytesPerSecond => &[("GiB/s", 1 << 30), ("MiB/s", 1 << 20), ("KiB/s", 1 << 10), ("B/s", 1)],
            Unit::Milliseconds => &[("h", 60 * MINUTE_MS), ("m", MINUTE_MS), ("s", 1_000), ("ms", 1)],
        }
    }

    /// How many of the unit one of the suffix is. A bare number counts the unit itself.
    fn factor(self, suffix: &str) -> Option<u64> {
        let named = |(known, factor): &(&str, u64)| {
            let short = known.trim_end_matches("/s");
            (suffix == *known || (self == Unit::BytesPerSecond && suffix == short)).then_some(*factor)
        };
        if suffix.is_empty() { Some(1) } else { self.suffixes().iter().find_map(named) }
    }

    /// What a value looks like.
    fn example(self) -> &'static str {
        match self {
            Unit::Count => "write a whole number, such as 3",
            Unit::BytesPerSecond => "write bytes a second, such as 32MiB/s",
            Unit::Milliseconds => "write a span of time, such as 90s, 10m or 2h",
            Unit::Switch => "write on or off",
            Unit::Percent => "write a part of a hundred, such as 10%",
        }
    }
}

/// The values of all settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Those that somebody has set.
    set: BTreeMap<Setting, u64>,
}

impl Settings {
    /// Those of a new cluster.
    pub(super) fn founded(replicas: u32) -> Settings {
        Settings { set: BTreeMap::from([(Setting::Replicas, u64::from(replicas))]) }
    }

    /// The value in force.
    pub fn value(&self, setting: Setting) -> u64 {
        self.set.get(&setting).copied().unwrap_or_else(|| setting.default_value())
    }

    /// Sets several at once: all, or none.
    ///
    /// # Errors
    ///
    /// A value is out of range.
    pub fn set(&mut self, values: &[(Setting, u64)]) -> Result<(), BadSetting> {
        values.iter().try_for_each(|(setting, value)| setting.check(*value))?;
        self.set.extend(values.iter().copied());
        Ok(())
    }

    /// How many replicas a shard is to have.
    pub fn replicas(&self) -> u8 {
        self.value(Setting::Replicas).clamp(1, REPLICAS_MAX as u64) as u8
    }

    /// How many shards may learn at once per node.
    pub fn moves_in_flight(&self) -> usize {
        self.value(Setting::MovesInFlight) as usize
    }

    /// How many bytes of snapshots a node may send in a second.
    pub fn move_rate_bytes(&self) -> u64 {
        self.value(Setting::MoveRate)
    }

    /// How far a node's load may be from its share, in percent of the share.
    pub fn balance_threshold_percent(&self) -> u32 {
        self.value(Setting::BalanceThreshold).min(BALANCE_THRESHOLD_MOST_PERCENT) as u32
    }

    /// How long a shard that was moved for the sake of balance is not moved again for it.
    pub fn cool_down(&self) -> Duration {
        Duration::from_millis(self.value(Setting::CoolDown))
    }

    /// Whether the leader moves shards for the sake of balance by itself.
    pub fn levelling(&self) -> Levelling {
        if self.value(Setting::Levelling) == 0 { Levelling::Paused } else { Levelling::On }
    }

    /// How many outages bring a node into quarantine.
    pub fn flaps(&self) -> FlapRule {
        let limit = self.value(Setting::FlapLimit).min(u64::from(FLAPS_MAX)) as u32;
        FlapRule { limit, window: Duration::from_millis(self.value(Setting::FlapWindow)) }
    }

    /// How long a silent node stays a replica, where somebody has set it.
    pub fn replica_grace(&self) -> Option<Duration> {
        self.set.get(&Setting::ReplicaGrace).copied().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them_and_shown_the_same() {
        for (setting, text, value) in [
            (Setting::Replicas, "5", 5),
            (Setting::MovesInFlight, "4", 4),
            (Setting::MoveRate, "32MiB/s", 32 << 20),
            (Setting::MoveRate, "100KiB/s", 100 << 10),
            (Setting::ReplicaGrace, "10m", 600_000),
            (Setting::ReplicaGrace, "90s", 90_000),
            (Setting::ReplicaGrace, "2500ms", 2_500),
            (Setting::Levelling, "off", 0),
            (Setting::Levelling, "on", 1),
            (Setting::BalanceThreshold, "25%", 25),
            (Setting::CoolDown, "5m", 300_000),
            (Setting::CoolDown, "0", 0),
            (Setting::FlapLimit, "0", 0),
            (Setting::FlapWindow, "10m", 600_000),
        ] {
            assert_eq!(setting.parse(text), Ok(value));
            assert_eq!(setting.show(value), text);
        }
        assert_eq!(Setting::MoveRate.parse("64 MiB"), Ok(64 << 20));
        assert_eq!(Setting::ReplicaGrace.parse("60000"), Ok(60_000));
        assert_eq!(Setting::ReplicaGrace.show(60_000), "1m");
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_would_be_one() {
        let refused = |setting: Setting, text: &str| setting.parse(text).unwrap_err().to_string();
        assert_eq!(refused(Setting::Replicas, "0"), "0 is not within 1 and 5 for replicas");
        assert_eq!(refused(Setting::ReplicaGrace, "1s"), "1s is not within 2s and 168h for replica_grace");
        let example = "\"fast\" is no value for move_rate: write bytes a second, such as 32MiB/s";
        assert_eq!(refused(Setting::MoveRate, "fast"), example);
        assert!(refused(Setting::Replicas, "3m").contains("such as 3"));
        assert!(refused(Setting::Levelling, "1").contains("on or off"));
        assert!(refused(Setting::BalanceThreshold, "101%").contains("0 and 100%"));
        assert!(refused(Setting::MoveRate, "99999999999999999999").contains("is no value"));
        assert!(Setting::of("replica").unwrap_err().to_string().contains("shardloom settings"));
    }

    #[test]
    fn several_are_set_together_or_not_at_all() {
        let mut settings = Settings::founded(3);
        let bad = settings.set(&[(Setting::Replicas, 5), (Setting::MovesInFlight, 0)]);
        assert_eq!(bad, Err(BadSetting::OutOfRange { setting: Setting::MovesInFlight, value: 0 }));
        assert_eq!(settings.replicas(), 3);
        assert_eq!(settings.set(&[(Setting::Replicas, 5), (Setting::MovesInFlight, 2)]), Ok(()));
        assert_eq!((settings.replicas(), settings.moves_in_flight()), (5, 2));
        assert_eq!(settings.value(Setting::ReplicaGrace), 600_000, "nobody has set it");
    }
}
