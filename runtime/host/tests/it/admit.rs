//! Admission: what is taken is kept by its digest, what is not is told why.

use std::fs;
use std::path::PathBuf;

use shardloom_host::{Compiler, Digest, Host, HostOptions, Limits, LoadError, Refusal, World};

use crate::fixture::{Fixture, guest};
use crate::state::State;

/// A compiler that must not be needed.
fn no_compiler() -> Compiler {
    Compiler { executable: PathBuf::from("/nonexistent"), arguments: Vec::new() }
}

fn file(fixture: &Fixture, extension: &str) -> PathBuf {
    let mut files =
        fs::read_dir(fixture.directory.path().join("components")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
}

#[tokio::test]
async fn an_admitted_component_is_kept_by_its_digest_across_restarts() {
    let fixture = Fixture::new();
    let bytes = guest("word-count");
    let admitted = fixture.host.admit(&bytes).await.unwrap();
    assert_eq!(admitted.digest, Digest::of(&bytes));
    assert_eq!(admitted.world, World::ShardHandler);
    assert_eq!(admitted.bytes, bytes.len() as u64);

    let options = HostOptions::new(fixture.directory.path().join("components"), no_compiler());
    let restarted = Host::new(options).unwrap();
    assert_eq!(restarted.digests().await.unwrap(), [admitted.digest]);
    assert_eq!(restarted.admitted(&admitted.digest).await.unwrap(), Some(admitted.clone()));
    assert_eq!(restarted.admit(&bytes).await.unwrap(), admitted);
    assert_eq!(restarted.component(&admitted.digest).await.unwrap(), bytes);
    restarted.handler(&admitted.digest).await.unwrap();

    restarted.remove(&admitted.digest).await.unwrap();
    assert_eq!(restarted.digests().await.unwrap(), []);
    assert!(matches!(restarted.handler(&admitted.digest).await, Err(LoadError::Unknown(_))));
}

#[tokio::test]
async fn each_world_is_told_by_its_exports() {
    let fixture = Fixture::new();
    for (name, world) in [
        ("word-count", World::ShardHandler),
        ("echo", World::ShardHandler),
        ("by-tenant", World::ShardFunction),
        ("by-busy-time", World::ShardWeigher),
    ] {
        assert_eq!(fixture.host.admit(&guest(name)).await.unwrap().world, world);
    }
    let function = fixture.admit("by-tenant").await;
    let error = fixture.host.handler(&function).await.unwrap_err();
    assert_eq!(error.to_string(), format!("component {function} is a shard-function, not a shard-handler"));
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let empty_component = b"\0asm\x0d\0\x01\0".to_vec();
    fixture.admit("echo").await;
    let native = fs::read(file(&fixture, "native")).unwrap();
    let elf = native
        .windows(4)
        .position(|bytes| bytes == b"\x7fELF")
        .map(|start| native[start..].to_vec())
        .unwrap();
    for (bytes, words) in [
        (core_module, "core WebAssembly module"),
        (empty_component, "fits no world"),
        (b"garbage".to_vec(), "not a valid WebAssembly component"),
        (Vec::new(), "not a valid WebAssembly component"),
        (elf, "native code"),
        (native, "not a valid WebAssembly component"),
    ] {
        let error = fixture.host.admit(&bytes).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_retryable() && error.refusal().is_some());
    }
    assert_eq!(fixture.host.digests().await.unwrap().len(), 1, "nothing else is kept");
}

#[tokio::test]
async fn too_large_a_component_is_refused_before_it_is_read() {
    let fixture = Fixture::with(|options| options.compile.component_bytes = 1_000);
    let error = fixture.host.admit(&guest("echo")).await.unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::TooLarge { max: 1_000, .. })), "{error:?}");
}

#[tokio::test]
async fn truncated_and_flipped_components_are_refused_or_harmless() {
    let fixture = Fixture::new();
    let good = guest("echo");
    for part in 1..12 {
        let error = fixture.host.admit(&good[..good.len() * part / 12]).await.unwrap_err();
        assert!(error.refusal().is_some(), "{error:?}");
    }
    // A fixed sequence of bits, spread over the file.
    for step in 0..48_usize {
        let bit = step.wrapping_mul(0x9e37_79b9) % (good.len() * 8);
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match fixture.host.admit(&bad).await {
            Err(error) => assert!(error.refusal().is_some(), "bit {bit}: {error:?}"),
            Ok(admitted) => {
                // Still WebAssembly: whatever it does, it does it within its limits.
                let handler = fixture.host.handler(&admitted.digest).await.unwrap();
                let limits = Limits { deadline_ms: 100, ..Limits::default() };
                if let Ok(mut instance) = fixture.instantiate(&handler, &limits).await {
                    let _ = State::default().call(&mut instance, "k", "", "body").await;
                }
            }
        }
    }
}

#[tokio::test]
async fn compiled_code_that_is_damaged_is_compiled_again() {
    let fixture = Fixture::new();
    let digest = fixture.admit("word-count").await;
    let path = file(&fixture, "native");
    let mut code = fs::read(&path).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&path, &code).unwrap();
    let handler = fixture.host.handler(&digest).await.unwrap();
    let mut instance = fixture.instantiate(&handler, &Limits::default()).await.unwrap();
    assert_eq!(State::default().ask(&mut instance, "a", "", "").await, "1");
    code[middle] ^= 1;
    assert!(fs::read(&path).unwrap().len() == code.len(), "a good copy is kept again");
}

#[tokio::test]
async fn a_component_that_is_damaged_on_disk_is_found_out_and_can_come_again() {
    let fixture = Fixture::new();
    let digest = fixture.admit("word-count").await;
    fs::write(file(&fixture, "wasm"), b"damaged").unwrap();
    assert_eq!(fixture.host.admitted(&digest).await.unwrap(), None);
    assert!(matches!(fixture.host.component(&digest).await, Err(LoadError::Damaged(_))));
    assert!(matches!(fixture.host.component(&digest).await, Err(LoadError::Unknown(_))));
    assert_eq!(fixture.admit("word-count").await, digest);
    fixture.host.handler(&digest).await.unwrap();
}
