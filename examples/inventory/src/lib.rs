//! The stock of a warehouse: orders reserve goods, and confirm or cancel their reservations.
//!
//! The key is a warehouse. All its goods and orders are on one shard, so that an order over several goods is one
//! transaction. Each method may be sent again without harm: a second `reserve`, `confirm` or `cancel` of an order answers as
//! the first did, and changes nothing. (`stock` alone counts each time.) README.md shows it at work.

mod warehouse;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warehouse::{Items, Warehouse};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

struct Inventory;

export!(Inventory);

/// Goods that come in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    item: String,
    count: u32,
}

/// What an order wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reservation {
    order: String,
    items: Items,
}

/// Which order is meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    order: String,
}

impl Guest for Inventory {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let warehouse = Warehouse::named(&request.key)?;
        let body = &request.body;
        match request.method.as_str() {
            "stock" => {
                let Delivery { item, count } = parse(body, r#"{"item": string, "count": integer}"#)?;
                reply(&warehouse.stock(&item, count)?)
            }
            "reserve" => {
                let form = r#"{"order": string, "items": {item: integer, ...}}"#;
                let Reservation { order, items } = parse(body, form)?;
                reply(&warehouse.reserve(&order, items)?)
            }
            "confirm" => reply(&warehouse.confirm(&named(body)?)?),
            "cancel" => reply(&warehouse.cancel(&named(body)?)?),
            "order" => reply(&warehouse.order(&named(body)?)?),
            "show" => reply(&warehouse.show()?),
            other => Err(Failure::Invalid(format!(
                "there is no method {other:?}: stock, reserve, confirm, cancel, order and show are"
            ))),
        }
    }
}

fn named(body: &[u8]) -> Result<String, Failure> {
    let Named { order } = parse(body, r#"{"order": string}"#)?;
    Ok(order)
}

fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Invalid(format!("the body must be JSON of the form {form}: {error}")))
}

fn reply(answer: &impl Serialize) -> Result<Reply, Failure> {
    let body = serde_json::to_vec(answer).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(Reply { headers: vec![("content-type".to_owned(), "application/json".to_owned())], body })
}
