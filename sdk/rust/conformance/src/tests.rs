//! The methods, each against a shard in memory.

use shardloom_guest::testing::{Line, Shard};
use shardloom_guest::{Failure, Level};

use super::{METHODS, handle};

fn shard() -> Shard {
    Shard::new(handle)
}

#[test]
fn echo_answers_with_headers_and_body() {
    let reply = shard().call_with("k", "echo", &[("x-a", "1"), ("x-a", "2")], [0, 255]).unwrap();
    let pair = |value: &str| ("x-a".to_owned(), value.to_owned());
    assert_eq!((reply.headers, reply.body), (vec![pair("1"), pair("2")], vec![0, 255]));
}

#[test]
fn a_register_is_put_got_and_deleted() {
    let mut shard = shard();
    assert!(matches!(shard.call("k", "get", ""), Err(Failure::NotFound(_))));
    shard.call("k", "put", "v").unwrap();
    assert_eq!(shard.call("k", "get", "").unwrap().body, b"v");
    assert!(matches!(shard.call("other", "get", ""), Err(Failure::NotFound(_))));
    shard.call("k", "delete", "").unwrap();
    shard.call("k", "delete", "").unwrap();
    assert!(matches!(shard.call("k", "get", ""), Err(Failure::NotFound(_))));
}

#[test]
fn a_scan_lists_all_keys_that_begin_alike_whatever_their_number() {
    let mut shard = shard().with_row("a", "").with_row("l", "").with_row("n", "");
    for number in 0..2_500 {
        shard = shard.with_row(format!("m{number:04}"), "");
    }
    let keys = shard.call("k", "scan", "m").unwrap().body;
    let expected: Vec<String> = (0..2_500).map(|number| format!("\"m{number:04}\"")).collect();
    assert_eq!(String::from_utf8(keys).unwrap(), format!("[{}]", expected.join(",")));
    assert_eq!(shard.call("k", "scan", "z").unwrap().body, b"[]");
}

#[test]
fn a_failed_call_leaves_the_value_of_before() {
    let mut shard = shard();
    shard.call("k", "put", "before").unwrap();
    assert_eq!(shard.call("k", "rollback", "after"), Err(Failure::failed("rolled back")));
    assert_eq!(shard.value("k").as_deref(), Some(&b"before"[..]));
}

#[test]
fn each_failure_has_its_kind_and_its_text() {
    let mut shard = shard();
    for (method, failure) in [
        ("invalid", Failure::invalid("w")),
        ("not-found", Failure::not_found("w")),
        ("conflict", Failure::conflict("w")),
        ("failed", Failure::failed("w")),
    ] {
        assert_eq!(shard.call("k", method, "w"), Err(failure));
    }
    let unknown = shard.call("k", "a\"\n", "").unwrap_err();
    assert!(unknown.text().starts_with(r#"there is no method "a\"\n""#), "{unknown}");
    assert!(METHODS.iter().all(|method| unknown.text().contains(method)), "{unknown}");
}

#[test]
fn a_large_reply_has_as_many_bytes_as_asked_for() {
    let mut shard = shard();
    assert_eq!(shard.call("k", "large", "70000").unwrap().body, vec![b'x'; 70_000]);
    let words = Failure::invalid("the body must be a decimal below 10^9");
    for body in ["", "+1", " 1", "1\n", "1.5", "1000000000", "x"] {
        assert_eq!(shard.call("k", "large", body), Err(words.clone()), "{body:?}");
    }
}

#[test]
fn place_config_and_log_reach_what_surrounds_the_call() {
    let mut shard = shard().with_config("greeting", "hello").at(|place| place.shard_count = 7);
    let place = shard.call("k", "place", "").unwrap().body;
    let expected =
        r#"{"shard":0,"shard_count":7,"epoch":1,"node":"0000000000000001","workload":"test","version":1}"#;
    assert_eq!(String::from_utf8(place).unwrap(), expected);
    assert_eq!(shard.call("k", "config", "greeting").unwrap().body, b"hello");
    assert!(matches!(shard.call("k", "config", "other"), Err(Failure::NotFound(_))));
    shard.call("k", "log", "a line").unwrap();
    let line = Line { level: Level::Info, context: "conformance".to_owned(), message: "a line".to_owned() };
    assert_eq!(shard.lines(), [line]);
}

#[test]
#[should_panic(expected = "as asked")]
fn trap_panics() {
    let _ = shard().call("k", "trap", "");
}

#[test]
#[should_panic(expected = "reply_bytes allows 8388608")]
fn a_reply_over_the_bound_is_not_given() {
    let _ = shard().call("k", "large", "8388609");
}

#[test]
fn what_is_too_large_is_refused_in_the_words_of_a_node() {
    let mut shard = shard();
    let words = Failure::invalid("the key has 1100 bytes; key_bytes allows 1024");
    assert_eq!(shard.call(&"k".repeat(1_100), "put", "x"), Err(words));
    let words = Failure::invalid("the value has 49153 bytes; value_bytes allows 49152");
    assert_eq!(shard.call("k", "put", vec![0; 49_153]), Err(words));
}
