//! The operations of `wasi:keyvalue@0.2.0-draft`.

use std::cell::Cell;

use crate::wasi::keyvalue0_2_0_draft::store::{Bucket, Error, open};
use crate::wasi::keyvalue0_2_0_draft::{atomics, batch};
use crate::{Failure, number, pair, shown, unknown};

thread_local! {
    static CURSOR: Cell<Option<u64>> = const { Cell::new(None) };
}

pub fn run(bucket: &str, operation: &str, words: &[&str]) -> Result<String, Failure> {
    let bucket = open(bucket).map_err(failed)?;
    Ok(match (operation, words) {
        ("get", [key]) => shown(bucket.get(key).map_err(failed)?),
        ("set", [key, value]) => bucket.set(key, value.as_bytes()).map(done).map_err(failed)?,
        ("set-and-fail", [key, value]) => {
            bucket.set(key, value.as_bytes()).map_err(failed)?;
            return Err(Failure::Failed(shown(bucket.get(key).map_err(failed)?)));
        }
        ("delete", [key]) => bucket.delete(key).map(done).map_err(failed)?,
        ("exists", [key]) => bucket.exists(key).map_err(failed)?.to_string(),
        ("keys", []) => keys(&bucket)?,
        ("keep-cursor", []) => {
            let page = bucket.list_keys(None).map_err(failed)?;
            CURSOR.set(page.cursor);
            page.cursor.is_some().to_string()
        }
        ("use-cursor", []) => bucket.list_keys(CURSOR.get()).map_err(failed)?.keys.len().to_string(),
        ("numbers", [count]) => {
            for key in 0..number::<u32>(count)? {
                bucket.set(&format!("{key:05}"), b"").map_err(failed)?;
            }
            done(())
        }
        ("increment", [key, delta]) => {
            atomics::increment(&bucket, key, number(delta)?).map_err(failed)?.to_string()
        }
        ("get-many", keys) => {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            let pairs = batch::get_many(&bucket, &keys).map_err(failed)?;
            let said = pairs.into_iter().map(|pair| match pair {
                Some((key, value)) => format!("{key}={}", shown(Some(value))),
                None => "none".to_owned(),
            });
            said.collect::<Vec<_>>().join(" ")
        }
        ("set-many", pairs) => {
            let pairs: Vec<(String, Vec<u8>)> = pairs.iter().map(|word| pair(word)).collect();
            batch::set_many(&bucket, &pairs).map(done).map_err(failed)?
        }
        ("delete-many", keys) => {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            batch::delete_many(&bucket, &keys).map(done).map_err(failed)?
        }
        _ => return Err(unknown(operation)),
    })
}

/// All keys, page by page: the first, the last, how many, and in how many pages.
fn keys(bucket: &Bucket) -> Result<String, Failure> {
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = bucket.list_keys(cursor).map_err(failed)?;
        keys.extend(page.keys);
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(format!("{} in {pages}: {:?}..{:?}", keys.len(), keys.first(), keys.last()));
        }
    }
}

fn done((): ()) -> String {
    "ok".to_owned()
}

fn failed(error: Error) -> Failure {
    Failure::Failed(match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(words) => words,
    })
}
