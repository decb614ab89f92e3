//! A bank: the key begins with a tenant, whose accounts are kept in the shard's state, a row for each.
//!
//! What follows a `:` in the key, such as the account in `acme:ann`, does not count. By the shard function `by-tenant` all keys
//! of a tenant are on one shard, so a call with the key of either account can move money between the two, in one
//! transaction; without it only keys that are the tenant's name alone find all of its accounts.
//!
//! | method | body (JSON) | answer (JSON) |
//! |---|---|---|
//! | `open` | `{"account": "ann", "amount": 100}` | the new account's balance: `{"ann": 100}` |
//! | `transfer` | `{"from": "ann", "to": "bob", "amount": 5}` | both balances after it: `{"ann": 95, "bob": 5}` |
//! | `balances` | none | the balances of all accounts of the tenant, sorted by name |
//!
//! Money comes in by `open` alone: `transfer` moves it, and no call loses any. An account that does not exist is
//! `not-found`; one that exists already, too little money, and a balance over the largest one are `conflict`. Amounts
//! are integers from 0 to 2^53 - 1, which every JSON reader takes as they are.

use std::collections::BTreeMap;

use exports::shardloom::shard::handler::{Failure, Guest, Reply, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shardloom::shard::store::{self, StoreError};

wit_bindgen::generate!({ path: "../../wit", world: "shard-handler", generate_all });

/// The largest amount, and the largest balance.
const AMOUNT_MAX: u64 = (1 << 53) - 1;

/// Bytes of an account's name.
const NAME_BYTES_MAX: usize = 128;

/// Rows that one scan is asked for.
const SCAN_ROWS: u32 = 1_000;

type Balances = BTreeMap<String, u64>;

struct Bank;

export!(Bank);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    account: String,
    amount: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    from: String,
    to: String,
    amount: u64,
}

/// The accounts of one tenant.
struct Tenant {
    /// What the rows of its accounts begin with; the length keeps tenants apart whose names begin alike.
    rows: Vec<u8>,
}

impl Guest for Bank {
    fn handle(request: Request) -> Result<Reply, Failure> {
        let tenant = Tenant::of(request.key.split(':').next().unwrap_or_default())?;
        let balances = match request.method.as_str() {
            "open" => tenant
                .open(parse(&request.body, r#"{"account": string, "amount": non-negative integer}"#)?)?,
            "transfer" => tenant.transfer(parse(
                &request.body,
                r#"{"from": string, "to": string, "amount": non-negative integer}"#,
            )?)?,
            "balances" => tenant.balances()?,
            other => {
                let words = format!("there is no method {other:?}: open, transfer and balances are");
                return Err(Failure::Invalid(words));
            }
        };
        let body = serde_json::to_vec(&balances).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Reply { headers: vec![("content-type".to_owned(), "application/json".to_owned())], body })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::Invalid(format!("the body must be JSON of the form {form}: {error}")))
}

impl Tenant {
    fn of(key: &str) -> Result<Tenant, Failure> {
        let length = u16::try_from(key.len());
        let length =
            length.map_err(|_| Failure::Invalid("the key must be shorter than 64 KiB".to_owned()))?;
        Ok(Tenant { rows: [&length.to_be_bytes(), key.as_bytes()].concat() })
    }

    fn open(&self, Open { account, amount }: Open) -> Result<Balances, Failure> {
        check_amount(amount)?;
        if self.find(&account)?.is_some() {
            return Err(Failure::Conflict(format!("there is an account {account:?} already")));
        }
        self.put(&account, amount)?;
        Ok(BTreeMap::from([(account, amount)]))
    }

    fn transfer(&self, Transfer { from, to, amount }: Transfer) -> Result<Balances, Failure> {
        check_amount(amount)?;
        if from == to {
            return Err(Failure::Invalid("from and to must be two accounts".to_owned()));
        }
        let (from_balance, to_balance) = (self.balance(&from)?, self.balance(&to)?);
        let from_balance = from_balance.checked_sub(amount).ok_or_else(|| {
            Failure::Conflict(format!("{from:?} has {from_balance}, which is less than {amount}"))
        })?;
        // Both are at most 2^53: the sum fits 64 bits.
        let to_balance = Some(to_balance + amount).filter(|sum| *sum <= AMOUNT_MAX).ok_or_else(|| {
            Failure::Conflict(format!("{to:?} would have more than {AMOUNT_MAX}, the largest balance"))
        })?;
        self.put(&from, from_balance)?;
        self.put(&to, to_balance)?;
        Ok(BTreeMap::from([(from, from_balance), (to, to_balance)]))
    }

    fn balances(&self) -> Result<Balances, Failure> {
        let mut balances = BTreeMap::new();
        let mut next = self.rows.clone();
        // Names are text, and no text has this byte.
        let end = [&self.rows[..], &[0xff]].concat();
        loop {
            let page = store::scan(&next, Some(&end), SCAN_ROWS);
            let Some((last, _)) = page.last() else { return Ok(balances) };
            next = [&last[..], &[0]].concat();
            for (row, value) in page {
                let name = String::from_utf8_lossy(&row[self.rows.len()..]).into_owned();
                let balance = decode(&value)?;
                balances.insert(name, balance);
            }
        }
    }

    fn balance(&self, account: &str) -> Result<u64, Failure> {
        let found = self.find(account)?;
        found.ok_or_else(|| Failure::NotFound(format!("there is no account {account:?}")))
    }

    fn find(&self, account: &str) -> Result<Option<u64>, Failure> {
        store::get(&self.row(account)?).map(|value| decode(&value)).transpose()
    }

    fn put(&self, account: &str, balance: u64) -> Result<(), Failure> {
        store::set(&self.row(account)?, &balance.to_be_bytes()).map_err(|error| match error {
            StoreError::TooLarge(words) => Failure::Invalid(words),
            StoreError::QuotaExceeded => {
                Failure::Failed("this shard has no room for more accounts".to_owned())
            }
            StoreError::Closed => Failure::Failed("the reply has begun".to_owned()),
        })
    }

    fn row(&self, account: &str) -> Result<Vec<u8>, Failure> {
        if account.is_empty() || account.len() > NAME_BYTES_MAX {
            let words = format!("the name of an account must have 1 to {NAME_BYTES_MAX} bytes");
            return Err(Failure::Invalid(words));
        }
        Ok([&self.rows[..], account.as_bytes()].concat())
    }
}

fn check_amount(amount: u64) -> Result<(), Failure> {
    if amount <= AMOUNT_MAX {
        return Ok(());
    }
    Err(Failure::Invalid(format!("the amount must be an integer from 0 to {AMOUNT_MAX}")))
}

fn decode(value: &[u8]) -> Result<u64, Failure> {
    let balance = value.try_into().map(u64::from_be_bytes);
    balance.map_err(|_| Failure::Failed("what is kept for this account is no balance".to_owned()))
}
