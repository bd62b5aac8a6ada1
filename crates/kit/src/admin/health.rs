//! gRPC health, answered from the lifecycle each time somebody asks.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::AdminConfig;
use crate::lifecycle::Lifecycle;

/// A gRPC service that health is answered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthName {
    /// Its full name, such as `vitrine.order.v1.OrderService`.
    pub grpc: String,
    /// The service of the suite whose readiness checks decide, such as `order`.
    pub service: String,
}

impl HealthName {
    /// Health of `grpc` is readiness of `service`.
    pub fn new(grpc: impl Into<String>, service: impl Into<String>) -> Self {
        HealthName {
            grpc: grpc.into(),
            service: service.into(),
        }
    }
}

/// The standard health service: the process as a whole under the empty name, and each of `names`. All of
/// them are NOT_SERVING as soon as the process drains.
pub fn health_service(
    lifecycle: &Lifecycle,
    names: Vec<HealthName>,
    config: &AdminConfig,
) -> HealthServer<impl Health> {
    HealthServer::new(LiveHealth {
        asker: Asker {
            lifecycle: lifecycle.clone(),
            names: names.into(),
        },
        watches: Arc::new(Semaphore::new(config.watches_max)),
        interval: Duration::from_millis(config.watch_interval_ms),
    })
    .max_decoding_message_size(4 * 1024)
}

#[derive(Debug)]
struct LiveHealth {
    asker: Asker,
    watches: Arc<Semaphore>,
    interval: Duration,
}

#[derive(Clone, Debug)]
struct Asker {
    lifecycle: Lifecycle,
    names: Arc<[HealthName]>,
}

impl Asker {
    async fn ask(&self, name: &str) -> ServingStatus {
        let readiness = match name {
            "" => self.lifecycle.readiness().await,
            _ => match self.names.iter().find(|known| known.grpc == name) {
                Some(known) => self.lifecycle.readiness_of(&known.service).await,
                None => return ServingStatus::ServiceUnknown,
            },
        };
        match readiness.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// One watch: what it said last, and what it looks at.
struct Watch {
    asker: Asker,
    name: String,
    said: Option<ServingStatus>,
    interval: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits until there is something new to say. The stream ends with the others of the process.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        let end = self.asker.lifecycle.token();
        let draining = self.asker.lifecycle.draining();
        loop {
            let status = self.asker.ask(&self.name).await;
            if self.said != Some(status) {
                self.said = Some(status);
                return Some((Ok(answer(status)), self));
            }
            tokio::select! {
                biased;
                () = end.cancelled() => return None,
                () = draining.cancelled(), if !draining.is_cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl Health for LiveHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.asker.ask(&request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found(
                "this process serves no service of that name",
            )),
            status => Ok(Response::new(answer(status))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(permit) = self.watches.clone().try_acquire_owned() else {
            return Err(Status::resource_exhausted(
                "too many health watches, try again later",
            ));
        };
        let watch = Watch {
            asker: self.asker.clone(),
            name: request.into_inner().service,
            said: None,
            interval: self.interval,
            _permit: permit,
        };
        Ok(Response::new(stream::unfold(watch, Watch::next).boxed()))
    }
}
