//! Tests of whole clusters of real node processes, seen from outside: `tests/it`, one file per area.
//!
//! They must know nothing that a user could not know: the command line, HTTP, signals and files by name.
