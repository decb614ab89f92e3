//! What a route is, beside its handler.

use axum::routing::MethodFilter;

use super::auth::Guard;

/// By which method a route is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// Whichever.
    Any,
}

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its method.
    pub verb: Verb,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub guard: Guard,
    /// What it does.
    pub summary: &'static str,
}

impl Verb {
    /// The method's name, in lower case; one of several where any is taken.
    pub fn name(self) -> &'static str {
        self.methods()[0]
    }

    /// The methods that a description lists, in lower case.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Verb::Get => &["get"],
            Verb::Post => &["post"],
            Verb::Put => &["put"],
            Verb::Delete => &["delete"],
            Verb::Any => &["get", "head", "post", "put", "patch", "delete", "options", "trace"],
        }
    }

    /// What the router calls it; none for whichever.
    pub fn filter(self) -> Option<MethodFilter> {
        match self {
            Verb::Get => Some(MethodFilter::GET),
            Verb::Post => Some(MethodFilter::POST),
            Verb::Put => Some(MethodFilter::PUT),
            Verb::Delete => Some(MethodFilter::DELETE),
            Verb::Any => None,
        }
    }
}
