//! The HTTP contract: routes, their guards, and how requests and replies look.
//!
//! In reading order: [`routes`] lists all of them, each an [`operation`] in the [`table`] that gives it its guard; [`auth`] guards; [`calls`] are calls of workloads, [`web`] requests of components of wasi:http, with [`web_key`] and `web_stream`; [`state`] shows
//! the cluster, [`why`] says why a shard is where it is, [`logs`] what guests say, [`events`] what happens, [`audit`] who did what; [`components`], [`workloads`], [`nodes`], [`access`] and [`weigher`] change it; [`plans`] says what would move; [`backup`] carries states out and in, [`repair`] gives up what is lost; [`openapi`] describes everything, with `request_bodies`;
//! `serve` and [`connection`] serve sockets, and `plain_words` sees to it that even what is not HTTP is told so.

pub mod access;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod calls;
pub mod certificates;
pub mod components;
pub mod connection;
pub mod events;
pub mod extract;
pub mod headers;
pub mod logs;
pub mod nodes;
pub mod openapi;
pub mod operation;
mod plain_words;
pub mod plans;
pub mod repair;
mod request_bodies;
pub mod routes;
mod serve;
pub mod settings;
pub mod state;
pub mod table;
pub mod web;
pub mod web_key;
mod web_stream;
pub mod weigher;
pub mod why;
pub mod workloads;
