//! Everything that a handler may import, in one place.

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::shard_handler::shardloom::shard::{shard_info, store};
use crate::bindings::shard_handler::wasi::config::store as config;
use crate::bindings::shard_handler::wasi::logging::logging;
use crate::guest::Guest;
use crate::keyvalue;

/// Links everything that a handler is granted, and nothing else.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    store::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    keyvalue::link(linker)?;
    shard_info::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    config::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}
