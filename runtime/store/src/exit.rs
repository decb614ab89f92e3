//! The codes that a process ends with whose disk does not let it go on; the numbers are those of `sysexits.h`.

/// A write or fdatasync failed (`EX_IOERR`): nobody knows what is on the disk.
pub const EXIT_DISK_FAILED: u8 = 74;
/// The disk is full to the last reserve (`EX_CANTCREAT`).
pub const EXIT_DISK_FULL: u8 = 73;
/// What is on the disk is damaged, or lost beyond help (`EX_DATAERR`).
pub const EXIT_DAMAGED: u8 = 65;
/// What is on the disk, or what the cluster writes, is of a newer build (`EX_PROTOCOL`): the newer binary is to be started.
pub const EXIT_NEWER_BUILD: u8 = 76;
