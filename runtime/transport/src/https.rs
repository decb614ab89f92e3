//! TLS towards HTTP clients.
