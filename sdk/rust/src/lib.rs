//! Shard handlers for Shardloom in ordinary Rust.
//!
//! A handler is a function from a call and the shard's state to a reply or a failure. [`handler!`] makes a component of it:
//!
//! ```
//! use shardloom_guest::{Call, Failure, Reply, State};
//!
//! shardloom_guest::handler!(handle);
//!
//! fn handle(call: &Call, state: &mut State) -> Result<Reply, Failure> {
//!     match call.method() {
//!         "put" => state.set(call.key(), call.body()).map(|()| Reply::empty()).map_err(Failure::from),
//!         "get" => state.get(call.key()).map(Reply::bytes).ok_or_else(|| Failure::not_found("no such key")),
//!         _ => Err(call.no_such_method(&["put", "get"])),
//!     }
//! }
//! ```
//!
//! [`testing`] runs it in an ordinary `#[test]`, on the machine that compiles it:
//!
//! ```
//! # use shardloom_guest::{Call, Failure, Reply, State};
//! # fn handle(call: &Call, state: &mut State) -> Result<Reply, Failure> {
//! #     state.set(call.key(), call.body())?;
//! #     Ok(Reply::empty())
//! # }
//! let mut shard = shardloom_guest::testing::Shard::new(handle);
//! shard.call("apple", "put", "red").unwrap();
//! assert_eq!(shard.value("apple").as_deref(), Some(&b"red"[..]));
//! ```
//!
//! The crate knows `wit/` and nothing else of Shardloom. In reading order: [`Call`], [`Reply`] and [`Failure`] are what a
//! handler speaks in, [`State`] and [`Map`] what it keeps, [`testing`] what tests it; `host` is the seam between the two
//! hosts, and `imports` the one that is a cluster.

mod call;
mod failure;
mod host;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod imports;
mod map;
mod reply;
mod state;
mod state_error;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use call::Call;
pub use failure::Failure;
pub use host::{Level, Place, Row};
pub use map::{Key, Map};
pub use reply::Reply;
pub use state::{Rows, State};
pub use state_error::StateError;

/// What [`handler!`] takes: a function that answers calls.
///
/// It must not rely on memory of its own from call to call: that is a cache, which may be lost at any time.
pub type Handler = fn(&Call, &mut State) -> Result<Reply, Failure>;

/// Exports a function as the component's handler; once in a crate, which must be a `cdylib`.
///
/// On other targets than WebAssembly it only checks the function's type, so that `cargo test` works as ever.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::Handler = $handle;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::imports::bindings::exports::shardloom::shard::handler;

            struct Exported;

            impl handler::Guest for Exported {
                fn handle(
                    request: handler::Request,
                ) -> ::core::result::Result<handler::Reply, handler::Failure> {
                    $crate::imports::answer(request, $handle)
                }
            }

    $crate::imports::bindings::export!(Exported with_types_in $crate::imports::bindings);
        };
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
