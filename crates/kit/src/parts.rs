//! What a service hands to the process that runs it.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tonic::service::RoutesBuilder;

use crate::errors::BoxError;

/// Adds a service's gRPC routes.
pub type AddRoutes = Box<dyn FnOnce(&mut RoutesBuilder) + Send>;

/// A service, assembled and not yet running: its routes, its background work and its readiness.
pub struct Parts {
    /// The service's name, as the command line says it.
    pub name: &'static str,
    /// Adds its gRPC routes.
    pub routes: AddRoutes,
    /// Its background work.
    pub tasks: Vec<Task>,
    /// When it is ready to serve.
    pub ready: Vec<ReadyCheck>,
}

impl Parts {
    /// A service with routes and nothing else.
    pub fn new(
        name: &'static str,
        routes: impl FnOnce(&mut RoutesBuilder) + Send + 'static,
    ) -> Self {
        Parts {
            name,
            routes: Box::new(routes),
            tasks: Vec::new(),
            ready: Vec::new(),
        }
    }

    /// Adds background work. It ends by itself when the process drains.
    pub fn task(
        mut self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.tasks.push(Task {
            name,
            future: Box::pin(future),
        });
        self
    }

    /// Adds a condition of being ready. Only the service's own database and schema belong here, never
    /// another service, because feeds go round in circles.
    pub fn ready_when<F, R>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.ready.push(ReadyCheck {
            name,
            check: Arc::new(move || Box::pin(check())),
        });
        self
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("name", &self.name)
            .field("tasks", &self.tasks)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

/// Background work of a service.
pub struct Task {
    /// Names it in logs.
    pub name: &'static str,
    /// The work.
    pub future: BoxFuture<'static, ()>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One condition of being ready.
#[derive(Clone)]
pub struct ReadyCheck {
    /// Names it in the answer of `/readyz`.
    pub name: &'static str,
    /// Asks whether the condition holds.
    pub check: Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>,
}

impl fmt::Debug for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
