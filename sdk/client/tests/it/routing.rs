//! Whom the client asks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use shardloom_client::{Call, Client, Executed, MapError, Reason};
use shardloom_sharding::key::shard_of_str;
use tokio::net::TcpListener;

use crate::node::{Answer, NOBODY, Node};

const SHARD_COUNT: u32 = 1024;

/// A reply as the owner's node or another one gives it, for key `k`.
fn ran_by(node: u64, epoch: u64, http: Option<SocketAddr>) -> Answer {
    Answer::Ran { node, shard: shard_of_str("k", SHARD_COUNT).0, epoch, http }
}

fn call() -> Call {
    Call::new("w", "k").method("add").body("3")
}

#[tokio::test]
async fn a_call_reaches_a_node_as_the_api_wants_it() {
    let node = Node::that(ran_by(1, 7, None)).await;
    let client = Client::open([node.url()]).unwrap();
    let reply = client.call(&call().header("x-a", "b")).await.unwrap();
    assert_eq!((&reply.body[..], reply.attempts, reply.replayed), (&b"3"[..], 1, false));
    assert_eq!((reply.place.node.as_str(), reply.place.epoch), ("0000000000000001", 7));
    let calls = node.calls();
    assert_eq!((calls[0].path.as_str(), &calls[0].body[..]), ("/v1/call/w/k?method=add", &b"3"[..]));
    assert_eq!(calls[0].headers["x-a"], "b");
    assert!(!calls[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn connections_are_kept() {
    let node = Node::that(ran_by(1, 1, None)).await;
    let client = Client::open([node.url()]).unwrap();
    for _ in 0..5 {
        client.call(&call()).await.unwrap();
    }
    assert_eq!((node.calls().len(), node.connections()), (5, 1));
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_passed_over_and_then_left_alone() {
    let node = Node::that(ran_by(1, 1, None)).await;
    let client = Client::open([NOBODY.to_owned(), node.url()]).unwrap();
    let began = Instant::now();
    assert_eq!(client.call(&call()).await.unwrap().attempts, 2);
    for _ in 0..4 {
        let attempts = client.call(&call()).await.unwrap().attempts;
        // For so long it is left alone at least; a machine that is slower than that proves nothing here.
        assert!(attempts == 1 || began.elapsed() >= Duration::from_millis(500), "{attempts}");
    }
}

#[tokio::test]
async fn an_owner_that_a_reply_has_named_is_called_directly() {
    let owner = Node::that(ran_by(2, 5, None)).await;
    let owner_at = owner.address;
    let other = Node::by(move |_, _| ran_by(2, 5, Some(owner_at))).await;
    let client = Client::open([other.url()]).unwrap();
    assert_eq!(client.owner("w", "k"), None);
    let replies = [client.call(&call()).await.unwrap(), client.call(&call()).await.unwrap()];
    assert_eq!(replies.map(|reply| reply.asked.to_string()), [other.url(), owner.url()]);
    assert_eq!((other.calls().len(), owner.calls().len()), (1, 1));
    assert_eq!(client.owner("w", "k").unwrap().to_string(), owner.url());
}

#[tokio::test]
async fn an_owner_of_a_known_name_is_called_directly() {
    let nodes = [Node::that(ran_by(2, 5, None)).await, Node::that(ran_by(2, 5, None)).await];
    let client = Client::builder()
        .named_node("0000000000000001", nodes[0].url())
        .named_node("0000000000000002", nodes[1].url())
        .build()
        .unwrap();
    for _ in 0..5 {
        client.call(&call()).await.unwrap();
    }
    assert_eq!((nodes[0].calls().len(), nodes[1].calls().len()), (1, 4));
}

#[tokio::test]
async fn the_owner_of_a_newer_epoch_is_asked_and_that_of_an_older_one_never_again() {
    let names =
        |node, epoch| Answer::Ran { node, shard: shard_of_str("k", SHARD_COUNT).0, epoch, http: None };
    // The first owner has lost the shard and passes the second call on; its third answer is a late one.
    let first = Node::by(move |_, before| if before == 0 { names(1, 5) } else { names(2, 6) }).await;
    let second = Node::by(move |_, before| if before == 0 { names(2, 6) } else { names(1, 5) }).await;
    let client = Client::builder()
        .named_node("0000000000000001", first.url())
        .named_node("0000000000000002", second.url())
        .build()
        .unwrap();
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(client.call(&call()).await.unwrap().asked.to_string());
    }
    assert_eq!(asked, [first.url(), first.url(), second.url(), second.url(), second.url()]);
}

#[tokio::test]
async fn an_owner_that_dies_is_replaced_by_any_node() {
    let seat = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner_at = seat.local_addr().unwrap();
    let owner = Node::on(seat, |_, _| ran_by(2, 5, None));
    let other = Node::that(ran_by(2, 5, Some(owner_at))).await;
    let client = Client::open([other.url()]).unwrap();
    client.call(&call()).await.unwrap();
    drop(owner);
    // An idle connection to it may be taken for a live one: only a call that may be repeated is sure to get through.
    let reply = client.call(&call().idempotent()).await.unwrap();
    assert_eq!(reply.asked.to_string(), other.url());
}

/// A node that gives the map, in which all shards belong to node 2, and passes calls on.
async fn node_with_map(owner_at: SocketAddr) -> Node {
    let nodes = json!([{ "id": "0000000000000002", "http": owner_at.to_string() }]).to_string();
    let shards: Vec<_> = (0..SHARD_COUNT)
        .map(|shard| json!({ "shard": shard, "owner": "0000000000000002", "epoch": 5 }))
        .collect();
    let shards = json!(shards).to_string();
    Node::by(move |path, _| match path {
        "/v1/nodes" => Answer::Words(200, nodes.clone()),
        "/v1/shards" => Answer::Words(200, shards.clone()),
        _ => ran_by(2, 5, None),
    })
    .await
}

#[tokio::test]
async fn the_map_is_read_with_the_token_and_calls_are_direct_from_the_first_on() {
    let owner = Node::that(ran_by(2, 5, None)).await;
    let seed = node_with_map(owner.address).await;
    let client = Client::builder().node(seed.url()).token("secret").build().unwrap();
    client.read_map().await.unwrap();
    assert!(seed.calls().iter().all(|list| list.headers["authorization"] == "Bearer secret"));
    let reply = client.call(&call()).await.unwrap();
    assert_eq!(reply.asked.to_string(), owner.url());
    assert!(!owner.calls()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn the_map_is_read_by_itself_while_calls_go_on() {
    let owner = Node::that(ran_by(2, 5, None)).await;
    let seed = node_with_map(owner.address).await;
    let client = Client::builder().node(seed.url()).token("secret").build().unwrap();
    assert_eq!(client.call(&call()).await.unwrap().asked.to_string(), seed.url());
    let known = async {
        while client.owner("another", "key").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known).await.expect("the map is read");
    assert_eq!(client.call(&call()).await.unwrap().asked.to_string(), owner.url());
}

#[tokio::test]
async fn a_connector_of_ones_own_makes_the_connections() {
    // This one speaks no TLS: it is asked, and says so.
    let client =
        Client::builder().node("https://127.0.0.1:1").connector(HttpConnector::new()).attempts(1).build();
    let error = client.unwrap().call(&call()).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable { .. }), "{error}");
    assert_eq!(error.executed, Executed::No);
}

#[tokio::test]
async fn a_map_that_cannot_be_read_is_an_error_that_says_who_was_asked() {
    let seed = Node::that(Answer::Words(401, "no".to_owned())).await;
    let without = Client::open([seed.url()]).unwrap();
    assert_eq!(without.read_map().await, Err(MapError::NoToken));
    let with = Client::builder().node(seed.url()).token("wrong").build().unwrap();
    let error = with.read_map().await.unwrap_err().to_string();
    assert!(error.contains(&seed.url()) && error.contains("401"), "{error}");
}
