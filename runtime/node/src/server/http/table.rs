//! The table of routes: the one way to add a route, which takes no route without a guard.

use std::sync::Arc;

use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, on};
use axum::{Json, Router};

use super::auth::{Guard, Post, guarded};
use super::openapi;
use super::operation::{Operation, Verb};
use crate::server::NodeServer;

/// Routes, each with its guard before it.
pub struct Table {
    server: Arc<NodeServer>,
    router: Router<Arc<NodeServer>>,
    operations: Vec<Operation>,
}

impl Table {
    /// An empty one, for one server.
    pub fn new(server: Arc<NodeServer>) -> Table {
        Table { server, router: Router::new(), operations: Vec::new() }
    }

    /// Adds what `handler` does.
    pub fn add<H, T>(
        self,
        guard: Guard,
        verb: Verb,
        path: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Table
    where
        H: Handler<T, Arc<NodeServer>>,
        T: 'static,
    {
        self.add_under(path, guard, verb, path, summary, handler)
    }

    /// As [`Table::add`], for a handler that takes the path apart itself: `place` is what the router goes by.
    pub fn add_under<H, T>(
        mut self,
        place: &'static str,
        guard: Guard,
        verb: Verb,
        path: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Table
    where
        H: Handler<T, Arc<NodeServer>>,
        T: 'static,
    {
        let route: MethodRouter<Arc<NodeServer>> = match verb.filter() {
            Some(filter) => on(filter, handler),
            None => any(handler),
        };
        let route = match guard {
            Guard::Open => route,
            Guard::Role(role) => {
                let post = Post { server: Arc::clone(&self.server), role };
                route.route_layer(from_fn_with_state(post, guarded))
            }
        };
        self.operations.push(Operation { verb, path, guard, summary });
        Table { router: self.router.route(place, route), ..self }
    }

    /// Adds the description of everything that was added, itself included: to be called last.
    pub fn describe(mut self, guard: Guard, path: &'static str, summary: &'static str) -> Table {
        let itself = Operation { verb: Verb::Get, path, guard, summary };
        let operations: Vec<Operation> = self.operations.drain(..).chain([itself]).collect();
        let description = Arc::new(openapi::description(&operations));
        let serve = move || {
            let description = Arc::clone(&description);
            async move { Json((*description).clone()) }
        };
        Table { operations, ..self.add(guard, Verb::Get, path, summary, serve) }
    }

    /// All operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The router that goes by it.
    pub fn into_router(self) -> (Router<Arc<NodeServer>>, Arc<NodeServer>) {
        (self.router, self.server)
    }
}
