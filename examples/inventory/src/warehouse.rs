//! One warehouse's rows in the shard's state: `i` and the item, `o` and the order, each with JSON for its value.
//!
//! Nothing here takes care of half-done work: a call that fails leaves none of its writes.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exports::shardloom::shard::handler::Failure;
use crate::shardloom::shard::store::{self, StoreError};

/// Bytes of the name of a warehouse, an item or an order.
const NAME_BYTES_MAX: usize = 200;

/// Different items in one order.
const ITEMS_MAX: usize = 100;

/// Rows that one scan is asked for.
const SCAN_ROWS: u32 = 1_000;

/// Items, and how many of each.
pub type Items = BTreeMap<String, u32>;

/// The rows of one warehouse.
pub struct Warehouse {
    rows: Vec<u8>,
}

/// How much there is of an item.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Stock {
    free: u64,
    reserved: u64,
}

/// An order, and how far it is.
#[derive(Serialize, Deserialize)]
pub struct Order {
    state: State,
    items: Items,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Reserved,
    Confirmed,
    Cancelled,
}

impl Warehouse {
    pub fn named(name: &str) -> Result<Warehouse, Failure> {
        let name = checked("warehouse", name)?;
        // The length keeps warehouses apart whose names begin alike.
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        Ok(Warehouse { rows: [&[length], name.as_bytes()].concat() })
    }

    /// Goods come in.
    pub fn stock(&self, item: &str, count: u32) -> Result<Stock, Failure> {
        let row = self.item_row(item)?;
        let mut stock: Stock = read(&row)?.unwrap_or_default();
        stock.free = stock.free.checked_add(count.into()).ok_or_else(|| too_many(item))?;
        write(&row, &stock)?;
        Ok(stock)
    }

    /// Sets goods aside for an order: all of them or, where there is too little of one, none.
    pub fn reserve(&self, order: &str, items: Items) -> Result<Order, Failure> {
        if items.is_empty() || items.len() > ITEMS_MAX || items.values().any(|count| *count == 0) {
            let words = format!("an order must have 1 to {ITEMS_MAX} items, and at least one of each");
            return Err(Failure::Invalid(words));
        }
        if let Some(found) = read::<Order>(&self.order_row(order)?)? {
            return if found.items == items {
                Ok(found)
            } else {
                Err(Failure::Conflict(format!("order {order:?} has other items")))
            };
        }
        for (item, count) in &items {
            let count = u64::from(*count);
            self.change(item, |Stock { free, reserved }| {
                let rest = free.checked_sub(count).ok_or_else(|| {
                    Failure::Conflict(format!("{count} of {item:?} are wanted, and {free} are free"))
                })?;
                let reserved = reserved.checked_add(count).ok_or_else(|| too_many(item))?;
                Ok(Stock { free: rest, reserved })
            })?;
        }
        self.keep(order, Order { state: State::Reserved, items })
    }

    /// The goods of an order leave the warehouse.
    pub fn confirm(&self, order: &str) -> Result<Order, Failure> {
        self.settle(order, State::Confirmed, |Stock { free, reserved }, count| {
            Some(Stock { free, reserved: reserved.checked_sub(count)? })
        })
    }

    /// The goods of an order are free again.
    pub fn cancel(&self, order: &str) -> Result<Order, Failure> {
        self.settle(order, State::Cancelled, |Stock { free, reserved }, count| {
            Some(Stock { free: free.checked_add(count)?, reserved: reserved.checked_sub(count)? })
        })
    }

    pub fn order(&self, order: &str) -> Result<Order, Failure> {
        let found = read(&self.order_row(order)?)?;
        found.ok_or_else(|| Failure::NotFound(format!("there is no order {order:?}")))
    }

    /// How much there is of every item.
    pub fn show(&self) -> Result<BTreeMap<String, Stock>, Failure> {
        let mut all = BTreeMap::new();
        let items = [&self.rows[..], b"i"].concat();
        let end = [&self.rows[..], b"j"].concat();
        let mut next = items.clone();
        loop {
            let page = store::scan(&next, Some(&end), SCAN_ROWS);
            let Some((last, _)) = page.last() else { return Ok(all) };
            next = [&last[..], &[0]].concat();
            for (row, value) in page {
                let item = String::from_utf8_lossy(&row[items.len()..]).into_owned();
                all.insert(item, decode(&value)?);
            }
        }
    }

    /// Brings an order to its end, once: the same end again is no error, the other one is.
    fn settle(
        &self,
        order: &str,
        end: State,
        change: impl Fn(Stock, u64) -> Option<Stock>,
    ) -> Result<Order, Failure> {
        let found = self.order(order)?;
        if found.state == end {
            return Ok(found);
        }
        if found.state != State::Reserved {
            let state = if found.state == State::Confirmed { "confirmed" } else { "cancelled" };
            return Err(Failure::Conflict(format!("order {order:?} is {state} already")));
        }
        for (item, count) in &found.items {
            self.change(item, |stock| change(stock, u64::from(*count)).ok_or_else(|| too_many(item)))?;
        }
        self.keep(order, Order { state: end, ..found })
    }

    fn change(
        &self,
        item: &str,
        change: impl FnOnce(Stock) -> Result<Stock, Failure>,
    ) -> Result<(), Failure> {
        let row = self.item_row(item)?;
        let stock = read(&row)?.ok_or_else(|| Failure::NotFound(format!("there is no item {item:?}")))?;
        write(&row, &change(stock)?)
    }

    fn keep(&self, name: &str, order: Order) -> Result<Order, Failure> {
        write(&self.order_row(name)?, &order)?;
        Ok(order)
    }

    fn item_row(&self, item: &str) -> Result<Vec<u8>, Failure> {
        Ok([&self.rows[..], b"i", checked("item", item)?.as_bytes()].concat())
    }

    fn order_row(&self, order: &str) -> Result<Vec<u8>, Failure> {
        Ok([&self.rows[..], b"o", checked("order", order)?.as_bytes()].concat())
    }
}

fn checked<'a>(what: &str, name: &'a str) -> Result<&'a str, Failure> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let words = format!("the name of a {what} must have 1 to {NAME_BYTES_MAX} bytes");
        return Err(Failure::Invalid(words));
    }
    Ok(name)
}

fn too_many(item: &str) -> Failure {
    Failure::Failed(format!("the count of {item:?} does not fit"))
}

fn read<T: DeserializeOwned>(row: &[u8]) -> Result<Option<T>, Failure> {
    store::get(row).map(|value| decode(&value)).transpose()
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value).map_err(|error| Failure::Failed(format!("a row is damaged: {error}")))
}

fn write(row: &[u8], value: &impl Serialize) -> Result<(), Failure> {
    let value = serde_json::to_vec(value).map_err(|error| Failure::Failed(error.to_string()))?;
    store::set(row, &value).map_err(|error| match error {
        StoreError::TooLarge(words) => Failure::Invalid(words),
        StoreError::QuotaExceeded => Failure::Failed("the warehouse has no room for more".to_owned()),
        StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
    })
}
