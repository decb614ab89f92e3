//! The text of a random identity: exactly 16 hexadecimal digits, written in lower case.

use std::fmt;

use serde::{Deserialize, Deserializer, Serializer};

/// How much of a wrong text an error repeats, in characters: enough to recognise it, too little to flood a log.
const SHOWN_MAX: usize = 40;

/// The text is not the 16 hexadecimal digits of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 16 hexadecimal digits are expected")]
pub struct ParseIdError {
    text: String,
}

pub(super) fn parse(text: &str) -> Result<u64, ParseIdError> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(id) if digits => Ok(id),
        _ => Err(ParseIdError { text: text.chars().take(SHOWN_MAX).collect() }),
    }
}

pub(super) fn show(id: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{id:016x}")
}

/// Text for formats that people read, the plain integer for all others.
pub(super) fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(&format_args!("{id:016x}"))
    } else {
        serializer.serialize_u64(*id)
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        parse(&text).map_err(serde::de::Error::custom)
    } else {
        u64::deserialize(deserializer)
    }
}
