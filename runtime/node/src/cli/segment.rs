//! Any text as one segment of a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a segment may hold as it is. The dot is encoded too: a key `..` must stay a key.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Encodes text so that it stays one path segment, or one value of a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}
