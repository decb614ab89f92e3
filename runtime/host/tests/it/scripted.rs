//! `scripted`: what a transaction sees and leaves, scans above all.

use bytes::Bytes;
use shardloom_host::{HandlerInstance, Limits, SCAN_BYTES_MAX, SCAN_ROWS_MAX};

use crate::fixture::Fixture;
use crate::state::State;

/// Runs a script, a step a line, and compares the answers.
async fn check(state: &State, instance: &mut HandlerInstance, script: &[(&str, &str)]) {
    let (steps, expected): (Vec<&str>, Vec<&str>) = script.iter().copied().unzip();
    let said = state.ask(instance, "k", "", &steps.join("\n")).await;
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

fn row(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

#[tokio::test]
async fn a_call_reads_its_own_writes() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("scripted").await;
    state.fill([row("kept", "old")]);
    let script = [
        ("get kept", "old"),
        ("set kept new", "ok"),
        ("get kept", "new"),
        ("delete kept", "ok"),
        ("get kept", "none"),
        ("set kept newest", "ok"),
        ("set other x", "ok"),
        ("delete other", "ok"),
        ("get other", "none"),
        ("delete nothing", "ok"),
        ("get a*2000", "none"),
    ];
    check(&state, &mut instance, &script).await;
    assert_eq!(state.rows(), [(Bytes::from("\0kept"), Bytes::from("newest"))]);
}

#[tokio::test]
async fn what_a_call_leaves_is_sorted_and_each_key_is_there_once() {
    let fixture = Fixture::new();
    let mut instance = fixture.instance("scripted").await;
    let script = "set c 1\nset a 1\nset c 2\ndelete b\nset a 3";
    let request = crate::fixture::request("k", "", script);
    let end = instance.call(request, crate::fixture::far(), State::default().view()).await;
    let writes: Vec<(&[u8], Option<&[u8]>)> =
        end.writes.iter().map(|write| (&write.key[..], write.value.as_deref())).collect();
    assert_eq!(writes, [(&b"\0a"[..], Some(&b"3"[..])), (b"\0b", None), (b"\0c", Some(b"2"))]);
}

#[tokio::test]
async fn a_scan_lays_the_calls_writes_over_the_state() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("scripted").await;
    state.fill(["b", "d", "f", "h"].map(|key| row(key, "old")));
    let script = [
        ("scan - - 10", "b=old d=old f=old h=old"),
        ("set a new", "ok"),
        ("set d new", "ok"),
        ("delete f", "ok"),
        ("set g new", "ok"),
        ("set i new", "ok"),
        ("scan - - 10", "a=new b=old d=new g=new h=old i=new"),
        ("scan b h 10", "b=old d=new g=new"),
        ("scan c - 2", "d=new g=new"),
        ("scan - - 1", "a=new"),
        ("scan - - 0", ""),
        ("scan h b 10", ""),
        ("scan b b 10", ""),
        ("scan z - 10", ""),
        ("walk 1", "6 keys in 6 pages"),
        ("walk 4", "6 keys in 2 pages"),
        ("walk 100", "6 keys in 1 pages"),
    ];
    check(&state, &mut instance, &script).await;
}

#[tokio::test]
async fn a_scan_goes_on_past_all_that_the_call_deleted() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("scripted").await;
    state.fill((0..300).map(|key| row(&format!("{key:03}"), "old")));
    let mut steps: Vec<String> = (0..299).map(|key| format!("delete {key:03}")).collect();
    steps.push("scan - - 2".to_owned());
    let said = state.ask(&mut instance, "k", "", &steps.join("\n")).await;
    assert_eq!(said.lines().last(), Some("299=old"));
}

#[tokio::test]
async fn a_scan_is_bounded_in_rows() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("scripted").await;
    let rows = 2 * SCAN_ROWS_MAX + 500;
    state.fill((0..rows).map(|key| row(&format!("{key:05}"), "")));
    let walked = format!("{rows} keys in 3 pages");
    check(&state, &mut instance, &[("walk 4000000000", &walked)]).await;
}

#[tokio::test]
async fn a_scan_is_bounded_in_bytes() {
    let (fixture, state) = (Fixture::new(), State::default());
    let mut instance = fixture.instance("scripted").await;
    let value = "v".repeat(40_000);
    state.fill((0..60).map(|key| row(&format!("{key:02}"), &value)));
    // The row that reaches the bound is the last one; a row has a byte of layout too.
    let rows_a_page = SCAN_BYTES_MAX.div_ceil(40_003);
    let walked = format!("60 keys in {} pages", 60_usize.div_ceil(rows_a_page));
    check(&state, &mut instance, &[("walk 4000000000", &walked)]).await;
}

#[tokio::test]
async fn a_refused_write_leaves_the_call_as_it_was() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { changes: 2, value_bytes: 10, ..Limits::default() };
    let mut instance = fixture.instance_within("scripted", limits).await;
    let too_large = "too-large: the value has 11 bytes; value_bytes allows 10";
    let too_many = "too-large: the call changes more keys than changes allows, 2";
    let script = [
        ("set a 1", "ok"),
        ("set-bytes a 11", too_large),
        ("get a", "1"),
        ("set b 1", "ok"),
        ("set c 1", too_many),
        ("delete c", too_many),
        // A key that the call has changed already may change again.
        ("set a 2", "ok"),
        ("delete b", "ok"),
        ("scan - - 10", "a=2"),
    ];
    check(&state, &mut instance, &script).await;
    assert_eq!(state.rows(), [(Bytes::from("\0a"), Bytes::from("2"))]);
}

#[tokio::test]
async fn bytes_that_a_call_overwrites_count_once() {
    let (fixture, state) = (Fixture::new(), State::default());
    let limits = Limits { batch_bytes: 100, ..Limits::default() };
    let mut instance = fixture.instance_within("scripted", limits).await;
    let over = "too-large: the changes of this call have 102 bytes; batch_bytes allows 100";
    let script = [
        ("set-bytes a 80", "ok"),
        ("set-bytes a 90", "ok"),
        ("set-bytes a 98", "ok"),
        ("delete b", over),
        ("set-bytes a 50", "ok"),
        ("set-bytes b 40", "ok"),
    ];
    check(&state, &mut instance, &script).await;
}

#[tokio::test]
async fn near_the_quota_what_is_replaced_is_weighed() {
    let (fixture, state) = (Fixture::new(), State::default());
    // Rows of 10 bytes: one of layout, one of key, eight of value.
    state.fill(["a", "b", "c"].map(|key| row(key, "12345678")));
    let limits = Limits { state_bytes: 35, ..Limits::default() };
    let mut instance = fixture.instance_within("scripted", limits).await;
    let script = [
        ("set-bytes a 8", "ok"),
        ("set-bytes b 13", "ok"),
        ("set-bytes c 9", "quota-exceeded"),
        ("set d x", "quota-exceeded"),
        ("delete c", "ok"),
        ("set-bytes d 8", "ok"),
        ("set e x", "quota-exceeded"),
    ];
    check(&state, &mut instance, &script).await;
    let bytes: usize = state.rows().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!(bytes, 35);
}

#[tokio::test]
async fn a_state_over_a_lowered_quota_may_shrink() {
    let (fixture, state) = (Fixture::new(), State::default());
    state.fill(["a", "b"].map(|key| row(key, "12345678")));
    let limits = Limits { state_bytes: 5, ..Limits::default() };
    let mut instance = fixture.instance_within("scripted", limits).await;
    let script = [
        ("set-bytes a 9", "quota-exceeded"),
        ("set-bytes a 8", "ok"),
        ("set-bytes a 1", "ok"),
        ("set-bytes b 15", "ok"),
        ("set-bytes b 16", "quota-exceeded"),
        ("delete b", "ok"),
    ];
    check(&state, &mut instance, &script).await;
}

#[tokio::test]
async fn the_view_is_let_go_of_when_the_call_ends() {
    let fixture = Fixture::new();
    for script in ["get a", "fail", "trap"] {
        let mut instance = fixture.instance("scripted").await;
        let view = State::default().view();
        let request = crate::fixture::request("k", "", script);
        let _ = instance.call(request, crate::fixture::far(), std::sync::Arc::clone(&view)).await;
        assert_eq!(std::sync::Arc::strong_count(&view), 1, "{script}");
    }
}
