//! What the client sends again, and what it never does.

use std::time::Duration;

use shardloom_client::{Call, Client, Executed, Failure, Reason};

use crate::node::{Answer, NOBODY, Node};

const RAN: Answer = Answer::Ran { node: 1, shard: 0, epoch: 1, http: None };
const LOST: Answer =
    Answer::Problem { status: 502, code: "owner-lost", executed: "unknown", retryable: false };

fn refused(code: &'static str) -> Answer {
    Answer::Problem { status: 503, code, executed: "no", retryable: true }
}

/// Something that no node says.
fn words(status: u16) -> Answer {
    Answer::Words(status, "<html>".to_owned())
}

fn call() -> Call {
    Call::new("w", "k").deadline(Duration::from_secs(30))
}

#[tokio::test]
async fn what_may_have_run_is_not_sent_again() {
    for doubtful in [Answer::HangUp, LOST, words(502), words(200)] {
        let nodes = [Node::that(doubtful.clone()).await, Node::that(RAN).await];
        let client = Client::open([nodes[0].url(), nodes[1].url()]).unwrap();
        let error = client.call(&call()).await.unwrap_err();
        assert_eq!(error.executed, Executed::Unknown, "{doubtful:?}: {error}");
        assert!(!error.is_retryable());
        assert_eq!((nodes[0].calls().len(), nodes[1].calls().len()), (1, 0), "{doubtful:?}");
    }
}

#[tokio::test]
async fn what_may_have_run_is_sent_again_under_its_idempotency_key() {
    for doubtful in [Answer::HangUp, LOST, words(502)] {
        let nodes = [Node::that(doubtful.clone()).await, Node::that(RAN).await];
        let client = Client::open([nodes[0].url(), nodes[1].url()]).unwrap();
        let call = call().idempotent();
        let reply = client.call(&call).await.unwrap();
        assert_eq!(reply.attempts, 2, "{doubtful:?}");
        for node in nodes {
            assert_eq!(node.calls()[0].headers["idempotency-key"], call.idempotency_key().unwrap());
        }
    }
}

#[tokio::test]
async fn a_node_that_hangs_leaves_time_for_another_where_a_call_may_be_repeated() {
    let nodes = [Node::that(Answer::Silence).await, Node::that(RAN).await];
    let builder = Client::builder().node(nodes[0].url()).node(nodes[1].url());
    let client = builder.attempt_time(Duration::from_millis(300)).build().unwrap();
    let reply = client.call(&call().idempotent()).await.unwrap();
    assert_eq!(reply.asked.to_string(), nodes[1].url());
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_with_its_deadline_and_in_doubt() {
    let node = Node::that(Answer::Silence).await;
    let client = Client::open([node.url()]).unwrap();
    let deadline = Duration::from_millis(200);
    for call in [call().deadline(deadline), call().deadline(deadline).idempotent()] {
        let error = client.call(&call).await.unwrap_err();
        assert_eq!(error.executed, Executed::Unknown, "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_taken_to_the_next_node() {
    let nodes = [Node::that(refused("no-leader")).await, Node::that(RAN).await];
    let client = Client::open([nodes[0].url(), nodes[1].url()]).unwrap();
    assert_eq!(client.call(&call()).await.unwrap().attempts, 2);
}

#[tokio::test]
async fn a_shard_that_is_overloaded_is_asked_again_later_and_not_by_way_of_all_nodes() {
    let first = Node::by(|_, before| if before == 0 { refused("overloaded") } else { RAN }).await;
    let client = Client::open([first.url()]).unwrap();
    assert_eq!(client.call(&call()).await.unwrap().attempts, 2);
    assert_eq!(first.calls().len(), 2);
}

#[tokio::test]
async fn the_workloads_refusal_and_what_cannot_succeed_are_told_at_once() {
    let conflict =
        Answer::Problem { status: 409, code: "conflict", executed: "rolled-back", retryable: false };
    let node = Node::that(conflict).await;
    let client = Client::open([node.url()]).unwrap();
    let error = client.call(&call().idempotent()).await.unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::Conflict("in a test".to_owned())));
    assert_eq!((error.executed, node.calls().len()), (Executed::RolledBack, 1));

    let unknown = Answer::Problem { status: 404, code: "unknown-workload", executed: "no", retryable: false };
    let node = Node::that(unknown).await;
    let error = Client::open([node.url()]).unwrap().call(&call()).await.unwrap_err();
    assert_eq!((error.code(), error.executed), (Some("unknown-workload"), Executed::No));
    assert_eq!(node.calls().len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded_and_the_last_refusal_is_told() {
    let node = Node::that(refused("no-leader")).await;
    let client = Client::builder().node(node.url()).attempts(3).build().unwrap();
    let error = client.call(&call()).await.unwrap_err();
    assert_eq!((error.code(), error.executed, node.calls().len()), (Some("no-leader"), Executed::No, 3));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_doubt_is_told_even_if_the_last_attempt_met_a_refusal() {
    let node = Node::by(|_, before| if before == 0 { Answer::HangUp } else { refused("no-leader") }).await;
    let client = Client::builder().node(node.url()).attempts(2).build().unwrap();
    let error = client.call(&call().idempotent()).await.unwrap_err();
    assert_eq!((error.code(), error.executed), (Some("no-leader"), Executed::Unknown));
}

#[tokio::test]
async fn where_nobody_can_be_reached_nothing_has_run() {
    let client = Client::builder().node(NOBODY).attempts(3).build().unwrap();
    let error = client.call(&call()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable { .. }), "{error}");
    assert_eq!(error.executed, Executed::No);
    let error = client.call(&call().deadline(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.reason, error.executed), (Reason::Deadline(Duration::ZERO), Executed::No));
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_client_as_it_was() {
    let node = Node::by(|_, before| if before == 0 { Answer::Silence } else { RAN }).await;
    let client = Client::open([node.url()]).unwrap();
    let dropped_call = call();
    let mut dropped = Box::pin(client.call(&dropped_call));
    while node.calls().is_empty() {
        tokio::select! {
            reply = &mut dropped => panic!("{reply:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(dropped);
    client.call(&call()).await.unwrap();
    assert_eq!(node.calls().len(), 2);
}
