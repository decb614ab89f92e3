//! The compile child: bounded in every way, and whatever happens to it stays with it.

use std::time::Duration;

use shardloom_host::{AdmitError, CompileError, Compiler};

use crate::fixture::{Fixture, guest};

/// A stand-in for a compiler that goes wrong in one way.
fn shell(script: &str) -> Compiler {
    Compiler { executable: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
}

async fn compile_error(fixture: &Fixture) -> CompileError {
    match fixture.host.admit(&guest("faulty")).await {
        Err(AdmitError::Compile(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_child_out_of_memory_is_told_as_such() {
    let fixture = Fixture::with(|options| options.compile.memory_bytes = 24 << 20);
    let error = compile_error(&fixture).await;
    assert_eq!(error.to_string(), "compiling the component took more than 25165824 bytes of memory");
}

#[tokio::test]
async fn a_child_that_never_ends_is_killed_at_its_time() {
    let fixture = Fixture::with(|options| {
        options.compiler = shell("exec sleep 600");
        options.compile.wall = Duration::from_millis(200);
    });
    let error = compile_error(&fixture).await;
    assert_eq!(error.to_string(), "compiling the component took more than 0.2 s on the clock");
}

#[tokio::test]
async fn a_child_out_of_processor_time_is_told_as_such() {
    let fixture = Fixture::with(|options| {
        options.compiler = shell("ulimit -t 1; while :; do :; done");
        options.compile.cpu_s = 1;
    });
    let error = compile_error(&fixture).await;
    assert_eq!(error.to_string(), "compiling the component took more than 1 s of processor time");
}

#[tokio::test]
async fn a_child_that_writes_without_end_is_cut_off() {
    let fixture = Fixture::with(|options| {
        options.compiler = shell("cat /dev/zero");
        options.compile.output_bytes = 1 << 20;
    });
    let error = compile_error(&fixture).await;
    assert_eq!(error.to_string(), "compiling the component took more than 1048576 bytes of compiled code");
}

#[tokio::test]
async fn a_child_that_crashes_or_says_nonsense_is_an_error() {
    for script in ["kill -SEGV $$", "exit 3", "exit 0", "echo nonsense", "head -c 100 /dev/zero"] {
        let fixture = Fixture::with(|options| options.compiler = shell(script));
        let error = compile_error(&fixture).await;
        assert!(matches!(error, CompileError::Crashed(_)), "{script}: {error:?}");
    }
}

#[tokio::test]
async fn a_compiler_that_is_not_there_is_this_machines_fault() {
    let fixture = Fixture::with(|options| options.compiler.executable = "/nonexistent".into());
    let error = fixture.host.admit(&guest("faulty")).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn components_compile_at_once_and_each_comes_out_right() {
    let fixture = Fixture::new();
    let names = ["word-count", "echo", "by-tenant", "by-busy-time", "faulty"];
    let admissions = names.map(|name| fixture.admit(name));
    futures::future::join_all(admissions).await;
    assert_eq!(fixture.host.digests().await.unwrap().len(), names.len());
}
