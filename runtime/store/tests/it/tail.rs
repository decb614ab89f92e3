//! Tears are cut off; damage is refused, with file and offset; never is anything else read than what was written.

use std::path::Path;

use shardloom_store::{Wal, WalError};

use crate::world::{Content, Image, append, batches, content, open, segment_files, set, small};

/// A log of a few batches, closed in order; the content after each submission, with its image.
async fn written(dir: &Path) -> (Vec<Content>, Image) {
    let (wal, _) = open(dir);
    let mut states = vec![content(&wal).unwrap()];
    let submissions = [
        vec![append(0, 1, "control entry"), set(3, "vote")],
        vec![append(17, 1, "shard entry"), append(0, 2, "another")],
        vec![set(3, "another vote"), append(17, 2, "the last entry of all")],
    ];
    for records in submissions {
        wal.submit(records).await.unwrap().durable().await.unwrap();
        states.push(content(&wal).unwrap());
    }
    wal.close().unwrap();
    (states, Image::take(dir))
}

/// Opens an image and tells its content.
fn read_back(dir: &Path, image: &Image) -> Result<Content, WalError> {
    image.put(dir);
    let (wal, _) = Wal::open(dir, small())?;
    content(&wal)
}

#[tokio::test]
async fn torn_tail_is_cut_off_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (states, image) = written(&dir.path().join("wal")).await;
    let copy = dir.path().join("copy");
    let mut whole = image.clone();
    let (start, end) = *batches(whole.last_segment()).last().unwrap();
    let [.., before, after] = &states[..] else { unreachable!() };
    for cut in start..=end {
        // The pages up to the cut were written before the crash, or those from the cut on: disks order nothing.
        for (name, range) in [("head", cut..end + 64), ("tail", start..cut)] {
            let mut torn = image.clone();
            let segment = torn.last_segment();
            segment[end..end + 64].fill(0);
            segment[range].fill(0);
            let complete = segment[start..end] == whole.last_segment()[start..end];
            let found = read_back(&copy, &torn).unwrap();
            assert_eq!(&found, if complete { after } else { before }, "{name} {cut}");
            // What was cut off stays cut off, and the log goes on.
            let (wal, recovery) = open(&copy);
            assert_eq!(recovery.torn_bytes, 0);
            wal.submit(vec![set(4, "on")]).await.unwrap().durable().await.unwrap();
            drop(wal);
            let mut expected = found;
            expected.registers.insert(4, "on".into());
            assert_eq!(content(&open(&copy).0).unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn every_flipped_byte_of_what_was_durable_is_refused_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let (states, mut image) = written(&dir.path().join("wal")).await;
    let copy = dir.path().join("copy");
    let frames = batches(image.last_segment());
    let end = frames.last().unwrap().1;
    // The header, the batches, the mark, some of the zeros.
    for at in (0..64).chain(4096..end + 40).chain((end + 40..64 << 10).step_by(4099)) {
        let mut flipped = image.clone();
        flipped.last_segment()[at] ^= 1 << (at % 8);
        let before = flipped.clone();
        match read_back(&copy, &flipped) {
            Ok(found) => {
                assert!(at >= end, "byte {at} was damaged and nobody saw it");
                assert_eq!(found, states[3], "byte {at}");
            }
            Err(WalError::Damaged { file, offset, .. }) => {
                assert!(at < end, "byte {at} holds nothing");
                assert_eq!(file, segment_files(&copy)[0]);
                let frame = frames.iter().find(|(start, end)| (*start..*end).contains(&at));
                assert!(frame.map_or(offset < 64, |(start, _)| offset == *start as u64), "{at}: {offset}");
                assert_eq!(Image::take(&copy), before, "a refused log is left as it was");
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[tokio::test]
async fn flips_in_a_batch_that_nothing_follows_lose_that_batch_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (states, mut image) = written(&dir.path().join("wal")).await;
    let (start, end) = *batches(image.last_segment()).last().unwrap();
    image.last_segment()[end..].fill(0);
    for at in start..end {
        let mut flipped = image.clone();
        flipped.last_segment()[at] ^= 1 << (at % 8);
        assert_eq!(read_back(&dir.path().join("copy"), &flipped).unwrap(), states[2], "byte {at}");
    }
}

/// Something that a disk may do to a segment.
type Harm<'a> = &'a dyn Fn(&mut Vec<u8>);

/// A log of several full segments.
async fn long(dir: &Path) -> (Content, Image) {
    let (wal, _) = open(dir);
    for index in 1..=40 {
        wal.submit(vec![append(0, index, vec![index as u8; 4000])]).await.unwrap();
    }
    wal.close().unwrap();
    (content(&wal).unwrap(), Image::take(dir))
}

#[tokio::test]
async fn damage_in_an_older_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (all, image) = long(&dir.path().join("wal")).await;
    let copy = dir.path().join("copy");
    assert_eq!(read_back(&copy, &image).unwrap(), all);
    let names: Vec<_> = image.0.keys().filter(|name| name.ends_with(".wal")).cloned().collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in &names[..names.len() - 1] {
        let (start, end) = *batches(&image.0[name]).last().unwrap();
        let wrong_bit = |segment: &mut Vec<u8>| segment[start + 40] ^= 1;
        let lost_page = |segment: &mut Vec<u8>| segment[start..end].fill(0);
        let lost_page_and_mark = |segment: &mut Vec<u8>| segment[start..].fill(0);
        let short_file = |segment: &mut Vec<u8>| segment.truncate(start);
        let harms: [Harm<'_>; 4] = [&wrong_bit, &lost_page, &lost_page_and_mark, &short_file];
        for harm in harms {
            let mut damaged = image.clone();
            harm(damaged.0.get_mut(name).unwrap());
            assert!(matches!(read_back(&copy, &damaged), Err(WalError::Damaged { .. })), "{name}");
        }
        let mut damaged = image.clone();
        damaged.0.remove(name);
        let Err(WalError::Damaged { file, what, .. }) = read_back(&copy, &damaged) else { panic!("{name}") };
        assert!(file.ends_with(name) && what.contains("missing"), "{} {what}", file.display());
    }
}

#[tokio::test]
async fn segment_of_another_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut one) = long(&dir.path().join("one")).await;
    let (_, two) = long(&dir.path().join("two")).await;
    let name = "00000002.wal".to_owned();
    one.0.insert(name.clone(), two.0[&name].clone());
    let refused = read_back(&dir.path().join("copy"), &one).unwrap_err();
    assert!(refused.to_string().contains("belongs to disk"), "{refused}");
}

#[tokio::test]
async fn newer_format_version_is_refused_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut image) = written(&dir.path().join("wal")).await;
    let segment = image.last_segment();
    segment[8] = 2;
    let crc = crc32fast::hash(&segment[0..12]);
    segment[12..16].copy_from_slice(&crc.to_le_bytes());
    let refused = read_back(&dir.path().join("copy"), &image).unwrap_err();
    assert!(matches!(refused, WalError::NewerVersion { found: 2, known: 1, .. }));
    assert!(refused.to_string().contains("use a newer one"), "{refused}");
    assert!(refused.is_fatal());
}

#[tokio::test]
async fn payload_that_looks_like_the_log_is_a_payload() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut image) = written(&dir.path().join("wal")).await;
    let (start, end) = batches(image.last_segment())[1];
    let frame = image.last_segment()[start..end].to_vec();
    let (wal, _) = open(&dir.path().join("wal"));
    wal.submit(vec![append(5, 1, frame.clone())]).await.unwrap().durable().await.unwrap();
    wal.submit(vec![append(5, 2, frame)]).await.unwrap().durable().await.unwrap();
    let all = content(&wal).unwrap();
    drop(wal);
    assert_eq!(content(&open(&dir.path().join("wal")).0).unwrap(), all);
}

#[tokio::test]
async fn entry_damaged_while_the_log_is_open_is_not_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    for index in 1..=10 {
        wal.submit(vec![append(0, index, vec![index as u8; 1000])]).await.unwrap();
    }
    wal.submit(vec![]).await.unwrap().durable().await.unwrap();
    let mut image = Image::take(dir.path());
    let segment = image.last_segment();
    let at = segment.windows(1000).position(|bytes| bytes == [1; 1000]).unwrap();
    segment[at + 500] ^= 1;
    // In place: the log holds the file open.
    std::fs::write(&segment_files(dir.path())[0], &*segment).unwrap();
    let refused = wal.read(shardloom_store::LogId(0), 1..2, 100).unwrap_err();
    assert!(matches!(refused, WalError::Damaged { .. }), "{refused}");
}
