//! Waiting for conditions, never for time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// An error that no waiting will mend, such as the end of a process.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Looks again and again until something is there, or an error is [`Hopeless`].
///
/// # Errors
/// If it is not there within the given time; the text says for what was waited, and what was seen last.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(seen) if seen.is::<Hopeless>() => {
                return Err(seen.context(format!("waited for this: {what}")));
            }
            Err(seen) if Instant::now() >= end => {
                bail!("waited {within:?} for this: {what}; seen last: {seen:#}")
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_becomes_true_ends_the_wait() {
        let mut looks = 0;
        let third = until("the third look", Duration::from_secs(5), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { bail!("look {looks}") }
        });
        assert_eq!(third.unwrap(), 3);
    }

    #[test]
    fn a_hopeless_error_ends_the_wait_at_once() {
        let begun = Instant::now();
        let waited =
            until("news", Duration::from_secs(60), || -> Result<()> { Err(Hopeless("gone".into()).into()) });
        assert!(format!("{:#}", waited.unwrap_err()).contains("gone"));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_condition_that_stays_false_is_named() {
        let error = until("rain", Duration::ZERO, || -> Result<()> { bail!("sunshine") }).unwrap_err();
        assert!(error.to_string().contains("rain") && error.to_string().contains("sunshine"));
    }
}
