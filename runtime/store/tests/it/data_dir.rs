//! The data directory: one process at a time, and small files that are there whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use shardloom_store::{DataDir, DataDirError};

#[test]
fn second_owner_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    let first = DataDir::open(&path).unwrap();
    let refused = DataDir::open(&path).unwrap_err();
    assert!(matches!(refused, DataDirError::InUse(_)), "{refused}");
    drop(first);
    DataDir::open(&path).unwrap();
}

#[test]
fn private_file_is_replaced_whole_and_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("node")).unwrap();
    data.write_private("admin.token", b"first and longer").unwrap();
    data.write_private("admin.token", b"second").unwrap();
    let path = data.join("admin.token");
    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "a draft is left: {names:?}");
    assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn draft_left_by_a_crash_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    fs::write(data.join(".admin.token.tmp"), "half a tok").unwrap();
    data.write_private("admin.token", b"whole").unwrap();
    assert_eq!(fs::read(data.join("admin.token")).unwrap(), b"whole");
    assert!(!data.join(".admin.token.tmp").exists());
}
