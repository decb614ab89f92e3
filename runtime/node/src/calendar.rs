//! A moment of the wall clock as people read it. Shown only: nothing is decided by it.

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970 as date and time in UTC, as RFC 3339 writes them.
pub fn utc(unix_ms: u64) -> String {
    let (year, month, day) = date(unix_ms / DAY_MS);
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock(unix_ms))
}

/// Milliseconds since 1970 as the time of day in UTC.
pub fn clock(unix_ms: u64) -> String {
    let ms = unix_ms % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", ms % 1_000)
}

/// The date of a day, counted from 1970. In years that begin in March the leap day is the last: so months begin at fixed days, and 400 years are an era.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    /// From the first of March of the year 0 to 1970.
    const TO_1970_DAYS: u64 = 719_468;
    let days = days + TO_1970_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_the_calendar_has_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(951_868_799_999), "2000-02-29T23:59:59.999Z");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(utc(1_735_689_599_001), "2024-12-31T23:59:59.001Z");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
