//! The three guests as their models know them: calls into requests, replies into answers.

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::history::Model;
use crate::history::append_list::{self, AppendList};
use crate::history::counter::{self, Counter, Total};
use crate::history::register::{self, Register};
use crate::http::Reply;

/// A guest that behaves as a model says.
pub trait Subject: Model {
    /// The guest, and the name it is deployed under.
    const WORKLOAD: &'static str;

    /// The method and the body of a call.
    fn request(call: &Self::Call) -> (&'static str, Vec<u8>);

    /// What a reply says: one of status 200, or the guest's own refusal.
    ///
    /// # Errors
    /// If no such object can say that.
    fn read(call: &Self::Call, reply: &Reply) -> Result<Self::Answer>;
}

impl Subject for Register {
    const WORKLOAD: &'static str = "kv";

    fn request(call: &register::Call) -> (&'static str, Vec<u8>) {
        match call {
            register::Call::Get => ("get", Vec::new()),
            register::Call::Put(value) => ("put", value.to_string().into_bytes()),
            register::Call::Delete => ("delete", Vec::new()),
            register::Call::Cas(expected, value) => {
                let expect = expected.map(|value| value.to_string());
                ("cas", json!({ "expect": expect, "value": value.to_string() }).to_string().into_bytes())
            }
        }
    }

    fn read(call: &register::Call, reply: &Reply) -> Result<register::Answer> {
        Ok(match (call, reply.status) {
            (register::Call::Get, 200) => register::Answer::Value(Some(number(reply.text().trim())?)),
            (register::Call::Get, 404) => register::Answer::Value(None),
            (register::Call::Cas(..), 409) => register::Answer::Conflict,
            (_, 200) => register::Answer::Done,
            (_, status) => bail!("{status}: {}", reply.text()),
        })
    }
}

impl Subject for AppendList {
    const WORKLOAD: &'static str = "log";

    fn request(call: &append_list::Call) -> (&'static str, Vec<u8>) {
        match call {
            append_list::Call::Get => ("get", Vec::new()),
            append_list::Call::Append(line) => ("append", line.to_string().into_bytes()),
        }
    }

    fn read(call: &append_list::Call, reply: &Reply) -> Result<append_list::Answer> {
        let text = reply.clone().good()?.text();
        Ok(match call {
            append_list::Call::Get => {
                append_list::Answer::Lines(text.lines().map(number).collect::<Result<_>>()?)
            }
            append_list::Call::Append(_) => append_list::Answer::Length(number(&text)? as usize),
        })
    }
}

impl Subject for Counter {
    const WORKLOAD: &'static str = "counter";

    fn request(call: &counter::Call) -> (&'static str, Vec<u8>) {
        match call {
            counter::Call::Get => ("get", Vec::new()),
            counter::Call::Add(amount) => ("add", amount.to_string().into_bytes()),
        }
    }

    fn read(_: &counter::Call, reply: &Reply) -> Result<Total> {
        Ok(Total(number(&reply.clone().good()?.text())?))
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is no number"))
}
