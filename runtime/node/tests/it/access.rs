//! Who may do what: tokens, roles, and every route held against them.

use serde_json::json;
use shardloom::server::http::auth::Guard;
use shardloom::server::http::operation::Operation;
use shardloom::server::http::routes::table;
use shardloom_cluster::control::TokenRole;

use crate::client::{Client, Reply};
use crate::world::{ADMIN_TOKEN, World};

/// Makes a token of the API, and returns its secret.
async fn create(client: &Client, name: &str, role: &str) -> String {
    let wanted = json!({ "name": name, "role": role }).to_string();
    let reply = client.admin("POST", "/v1/admin/access", wanted.as_bytes()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// Uses an operation with something that it cannot take, so that nothing changes where it is let through.
async fn knock(client: &Client, operation: &Operation, token: Option<&str>) -> Reply {
    let mut path = operation.path.replace(['{', '}'], "");
    if path == "/v1/events" {
        // It would go on for as long as the node does.
        path.push_str("?follow=false");
    }
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    client.send(&operation.verb.name().to_uppercase(), &path, &headers, b"?").await
}

fn code(reply: &Reply) -> String {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_it_declares_and_nobody_else() {
    let world = World::start(3).await;
    let client = world.client(0);
    let revoked = create(&client, "gone", "admin").await;
    let reader = create(&client, "board", "reader").await;
    let deployer = create(&client, "ci", "deployer").await;
    assert_eq!(client.admin("DELETE", "/v1/admin/access/gone", b"").await.status, 200);

    let table = table(world.server(0));
    let guarded =
        table.operations().iter().filter(|operation| matches!(operation.guard, Guard::Role(_))).count();
    assert!(guarded > 30, "the table is that of the router: {guarded}");
    for operation in table.operations() {
        let Guard::Role(needed) = operation.guard else {
            let reply = knock(&client, operation, None).await;
            assert!(reply.status != 401 && reply.status != 403, "{operation:?}: {reply:?}");
            continue;
        };
        for stranger in [None, Some(revoked.as_str()), Some("nobody's")] {
            knock(&client, operation, stranger).await.problem(401, "unauthenticated", "no");
        }
        let holders = [
            (TokenRole::Reader, &*reader),
            (TokenRole::Deployer, &*deployer),
            (TokenRole::Admin, ADMIN_TOKEN),
        ];
        for (role, token) in holders {
            let reply = knock(&client, operation, Some(token)).await;
            if role < needed {
                reply.problem(403, "forbidden", "no");
            } else {
                let code = code(&reply);
                assert!(code != "unauthenticated" && code != "forbidden", "{operation:?} {role}: {reply:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_listed_without_its_secret_and_good_until_it_is_revoked() {
    let world = World::start(2).await;
    let client = world.client(0);
    let secret = create(&client, "board", "reader").await;
    let bearer = format!("Bearer {secret}");
    let status = async |node: usize| {
        world.client(node).send("GET", "/v1/status", &[("authorization", &bearer)], b"").await.status
    };
    assert_eq!((status(0).await, status(1).await), (200, 200), "on every node");

    let list = client.admin("GET", "/v1/admin/access", b"").await;
    assert!(!list.text().contains(&secret));
    assert_eq!(list.json()[0]["name"], "board");
    assert_eq!(list.json()[1], json!({ "name": "founder", "role": "admin", "since": 1 }));

    let again = json!({ "name": "board", "role": "admin" }).to_string();
    client.admin("POST", "/v1/admin/access", again.as_bytes()).await.problem(409, "refused", "no");
    let odd = json!({ "name": "x", "role": "root" }).to_string();
    client.admin("POST", "/v1/admin/access", odd.as_bytes()).await.problem(400, "bad-request", "no");
    client.admin("DELETE", "/v1/admin/access/founder", b"").await.problem(409, "refused", "no");
    assert_eq!(client.admin("DELETE", "/v1/admin/access/board", b"").await.status, 200);
    assert_eq!((status(0).await, status(1).await), (401, 401));
}
