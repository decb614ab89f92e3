//! Everything that a workload may import, in one place.

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::shard_handler::shardloom::shard::{shard_info, store};
use crate::bindings::shard_handler::wasi::config::store as config;
use crate::bindings::shard_handler::wasi::logging::logging;
use crate::guest::Guest;
use crate::keyvalue;
use crate::world::World;

/// Links everything that a workload's component is granted, and nothing else.
pub(crate) fn link(world: World, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    if world == World::HttpHandler {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    store::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    keyvalue::link(linker)?;
    shard_info::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    config::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}
