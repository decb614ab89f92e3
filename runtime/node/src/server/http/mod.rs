//! The HTTP contract: routes, their guards, and how requests and replies look.
//!
//! In reading order: [`routes`] is the table of all of them; [`auth`] guards; [`calls`] are calls of workloads, [`web`] requests of components of wasi:http, with [`web_key`]; [`state`] shows
//! the cluster, [`logs`] what guests say; [`components`], [`workloads`], [`nodes`] and [`weigher`] change it; [`plans`] says what would move; [`backup`] carries states out and in, [`repair`] gives up what is lost; [`openapi`] describes everything;
//! `serve` and [`connection`] serve sockets, and `plain_words` sees to it that even what is not HTTP is told so.

pub mod auth;
pub mod backup;
pub mod calls;
pub mod components;
pub mod connection;
pub mod extract;
pub mod headers;
pub mod logs;
pub mod nodes;
pub mod openapi;
mod plain_words;
pub mod plans;
pub mod repair;
pub mod routes;
mod serve;
pub mod settings;
pub mod state;
pub mod web;
pub mod web_key;
pub mod weigher;
pub mod workloads;
