//! What of the repository is in the binary for new projects: the interfaces, the SDKs, and what a project begins with.

/// A file that is in the binary: its place in the new directory, and what it holds.
pub(super) type Embedded = (&'static str, &'static str);

pub(super) const WIT: &[Embedded] = &[
    ("handler.wit", include_str!("../../../../../wit/handler.wit")),
    ("loads.wit", include_str!("../../../../../wit/loads.wit")),
    ("shard-info.wit", include_str!("../../../../../wit/shard-info.wit")),
    ("store.wit", include_str!("../../../../../wit/store.wit")),
    ("world.wit", include_str!("../../../../../wit/world.wit")),
    (
        "deps/wasi-clocks-0.2/monotonic-clock.wit",
        include_str!("../../../../../wit/deps/wasi-clocks-0.2/monotonic-clock.wit"),
    ),
    ("deps/wasi-clocks-0.3/types.wit", include_str!("../../../../../wit/deps/wasi-clocks-0.3/types.wit")),
    ("deps/wasi-config/store.wit", include_str!("../../../../../wit/deps/wasi-config/store.wit")),
    ("deps/wasi-http-0.2/handler.wit", include_str!("../../../../../wit/deps/wasi-http-0.2/handler.wit")),
    ("deps/wasi-http-0.2/types.wit", include_str!("../../../../../wit/deps/wasi-http-0.2/types.wit")),
    ("deps/wasi-http-0.3/handler.wit", include_str!("../../../../../wit/deps/wasi-http-0.3/handler.wit")),
    ("deps/wasi-http-0.3/types.wit", include_str!("../../../../../wit/deps/wasi-http-0.3/types.wit")),
    ("deps/wasi-io-0.2/error.wit", include_str!("../../../../../wit/deps/wasi-io-0.2/error.wit")),
    ("deps/wasi-io-0.2/poll.wit", include_str!("../../../../../wit/deps/wasi-io-0.2/poll.wit")),
    ("deps/wasi-io-0.2/streams.wit", include_str!("../../../../../wit/deps/wasi-io-0.2/streams.wit")),
    (
        "deps/wasi-keyvalue-draft/atomics.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/atomics.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft/batch.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/batch.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft/store.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft/store.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/atomics.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/atomics.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/batch.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/batch.wit"),
    ),
    (
        "deps/wasi-keyvalue-draft2/store.wit",
        include_str!("../../../../../wit/deps/wasi-keyvalue-draft2/store.wit"),
    ),
    ("deps/wasi-logging/logging.wit", include_str!("../../../../../wit/deps/wasi-logging/logging.wit")),
    ("deps/wasi-random-0.2/random.wit", include_str!("../../../../../wit/deps/wasi-random-0.2/random.wit")),
    ("deps/wasi-random-0.3/random.wit", include_str!("../../../../../wit/deps/wasi-random-0.3/random.wit")),
];

pub(super) const RUST: &[Embedded] = &[
    ("Cargo.toml", include_str!("../../../../../sdk/rust/Cargo.toml")),
    ("README.md", include_str!("../../../../../sdk/rust/README.md")),
    ("src/call.rs", include_str!("../../../../../sdk/rust/src/call.rs")),
    ("src/failure.rs", include_str!("../../../../../sdk/rust/src/failure.rs")),
    ("src/host.rs", include_str!("../../../../../sdk/rust/src/host.rs")),
    ("src/imports.rs", include_str!("../../../../../sdk/rust/src/imports.rs")),
    ("src/lib.rs", include_str!("../../../../../sdk/rust/src/lib.rs")),
    ("src/map.rs", include_str!("../../../../../sdk/rust/src/map.rs")),
    ("src/reply.rs", include_str!("../../../../../sdk/rust/src/reply.rs")),
    ("src/state.rs", include_str!("../../../../../sdk/rust/src/state.rs")),
    ("src/state_error.rs", include_str!("../../../../../sdk/rust/src/state_error.rs")),
    ("src/testing.rs", include_str!("../../../../../sdk/rust/src/testing.rs")),
    ("src/testing/bounds.rs", include_str!("../../../../../sdk/rust/src/testing/bounds.rs")),
    ("src/testing/memory.rs", include_str!("../../../../../sdk/rust/src/testing/memory.rs")),
];

pub(super) const JAVASCRIPT: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/javascript/README.md")),
    ("bin/componentize.js", include_str!("../../../../../sdk/javascript/bin/componentize.js")),
    ("package.json", include_str!("../../../../../sdk/javascript/package.json")),
    ("src/bucket.js", include_str!("../../../../../sdk/javascript/src/bucket.js")),
    ("src/bytes.js", include_str!("../../../../../sdk/javascript/src/bytes.js")),
    ("src/failure.js", include_str!("../../../../../sdk/javascript/src/failure.js")),
    ("src/http-error.js", include_str!("../../../../../sdk/javascript/src/http-error.js")),
    ("src/http-message.js", include_str!("../../../../../sdk/javascript/src/http-message.js")),
    ("src/http.d.ts", include_str!("../../../../../sdk/javascript/src/http.d.ts")),
    ("src/http.js", include_str!("../../../../../sdk/javascript/src/http.js")),
    ("src/index.d.ts", include_str!("../../../../../sdk/javascript/src/index.d.ts")),
    ("src/index.js", include_str!("../../../../../sdk/javascript/src/index.js")),
    ("src/log.js", include_str!("../../../../../sdk/javascript/src/log.js")),
    ("src/place.d.ts", include_str!("../../../../../sdk/javascript/src/place.d.ts")),
    ("src/place.js", include_str!("../../../../../sdk/javascript/src/place.js")),
    ("src/setting.js", include_str!("../../../../../sdk/javascript/src/setting.js")),
    ("src/state.js", include_str!("../../../../../sdk/javascript/src/state.js")),
    ("src/utf8.js", include_str!("../../../../../sdk/javascript/src/utf8.js")),
    ("src/wasi-http.js", include_str!("../../../../../sdk/javascript/src/wasi-http.js")),
    ("src/world.d.ts", include_str!("../../../../../sdk/javascript/src/world.d.ts")),
    ("testing/buckets.js", include_str!("../../../../../sdk/javascript/testing/buckets.js")),
    ("testing/hooks.js", include_str!("../../../../../sdk/javascript/testing/hooks.js")),
    ("testing/http.js", include_str!("../../../../../sdk/javascript/testing/http.js")),
    ("testing/register.js", include_str!("../../../../../sdk/javascript/testing/register.js")),
    ("testing/world.d.ts", include_str!("../../../../../sdk/javascript/testing/world.d.ts")),
    ("testing/world.js", include_str!("../../../../../sdk/javascript/testing/world.js")),
];

pub(super) const PYTHON: &[Embedded] = &[
    ("shardloom_componentize.py", include_str!("../../../../../sdk/python/shardloom_componentize.py")),
    ("shardloom_guest/__init__.py", include_str!("../../../../../sdk/python/shardloom_guest/__init__.py")),
    ("shardloom_guest/failure.py", include_str!("../../../../../sdk/python/shardloom_guest/failure.py")),
    ("shardloom_guest/request.py", include_str!("../../../../../sdk/python/shardloom_guest/request.py")),
    ("shardloom_guest/serve.py", include_str!("../../../../../sdk/python/shardloom_guest/serve.py")),
    ("shardloom_guest/state.py", include_str!("../../../../../sdk/python/shardloom_guest/state.py")),
    ("shardloom_guest/where.py", include_str!("../../../../../sdk/python/shardloom_guest/where.py")),
    ("shardloom_http/__init__.py", include_str!("../../../../../sdk/python/shardloom_http/__init__.py")),
    ("shardloom_http/bucket.py", include_str!("../../../../../sdk/python/shardloom_http/bucket.py")),
    ("shardloom_http/error.py", include_str!("../../../../../sdk/python/shardloom_http/error.py")),
    ("shardloom_http/message.py", include_str!("../../../../../sdk/python/shardloom_http/message.py")),
    ("shardloom_http/serve.py", include_str!("../../../../../sdk/python/shardloom_http/serve.py")),
    ("shardloom_http/setting.py", include_str!("../../../../../sdk/python/shardloom_http/setting.py")),
    ("shardloom_http/where.py", include_str!("../../../../../sdk/python/shardloom_http/where.py")),
    ("shardloom_log.py", include_str!("../../../../../sdk/python/shardloom_log.py")),
    ("shardloom_testing.py", include_str!("../../../../../sdk/python/shardloom_testing.py")),
    ("shardloom_testing_http.py", include_str!("../../../../../sdk/python/shardloom_testing_http.py")),
    ("shardloom_text.py", include_str!("../../../../../sdk/python/shardloom_text.py")),
];

pub(super) const C: &[Embedded] = &[
    ("shardloom.h", include_str!("../../../../../sdk/c/shardloom.h")),
    ("shardloom_base.h", include_str!("../../../../../sdk/c/shardloom_base.h")),
    ("shardloom_http.h", include_str!("../../../../../sdk/c/shardloom_http.h")),
    ("shardloom_http_serve.h", include_str!("../../../../../sdk/c/shardloom_http_serve.h")),
];

pub(super) const RUST_BEGUN: &[Embedded] = &[
    ("Cargo.toml.in", include_str!("../../../../../sdk/templates/rust/Cargo.toml.in")),
    ("README.md", include_str!("../../../../../sdk/templates/rust/README.md")),
];

pub(super) const RUST_HTTP_BEGUN: &[Embedded] = &[
    ("Cargo.toml.in", include_str!("../../../../../sdk/templates/rust-http/Cargo.toml.in")),
    ("README.md", include_str!("../../../../../sdk/templates/rust-http/README.md")),
];

pub(super) const JAVASCRIPT_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/javascript/README.md")),
    ("handler.js", include_str!("../../../../../sdk/templates/javascript/handler.js")),
    ("handler.test.js", include_str!("../../../../../sdk/templates/javascript/handler.test.js")),
    ("package.json.in", include_str!("../../../../../sdk/templates/javascript/package.json.in")),
];

pub(super) const JAVASCRIPT_HTTP_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/javascript-http/README.md")),
    ("handler.js", include_str!("../../../../../sdk/templates/javascript-http/handler.js")),
    ("handler.test.js", include_str!("../../../../../sdk/templates/javascript-http/handler.test.js")),
    ("package.json.in", include_str!("../../../../../sdk/templates/javascript-http/package.json.in")),
];

pub(super) const PYTHON_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/python/README.md")),
    ("handler.py", include_str!("../../../../../sdk/templates/python/handler.py")),
    ("test_handler.py", include_str!("../../../../../sdk/templates/python/test_handler.py")),
];

pub(super) const PYTHON_HTTP_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/python-http/README.md")),
    ("handler.py", include_str!("../../../../../sdk/templates/python-http/handler.py")),
    ("test_handler.py", include_str!("../../../../../sdk/templates/python-http/test_handler.py")),
];

pub(super) const C_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/c/README.md")),
    ("handler.c", include_str!("../../../../../sdk/templates/c/handler.c")),
];

pub(super) const C_HTTP_BEGUN: &[Embedded] = &[
    ("README.md", include_str!("../../../../../sdk/templates/c-http/README.md")),
    ("handler.c", include_str!("../../../../../sdk/templates/c-http/handler.c")),
];
