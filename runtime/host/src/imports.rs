//! Everything that a workload may import, in one place.

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::shard_handler::shardloom::shard::{shard_info, store};
use crate::bindings::shard_handler::wasi::config::store as config;
use crate::bindings::shard_handler::wasi::logging::logging;
use crate::guest::Guest;
use crate::world::World;
use crate::{keyvalue, wasi};

/// Links everything that a workload's component is granted, and nothing else.
pub(crate) fn link(world: World, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    if world == World::HttpHandler {
        wasi::link_http(linker)?;
    }
    store::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    keyvalue::link(linker)?;
    shard_info::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    config::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}
