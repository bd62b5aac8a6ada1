//! The contract's methods: parse, run the operation, render.

mod audience;
mod channels;
mod creators;
mod feed;
mod follows;
mod hosts;
mod live_now;
mod parse;
mod privacy;
mod programme;
pub mod render;
mod render_programme;
mod rooms;
mod showcase;
mod watch;

use std::sync::Arc;

use ::store::feed::FeedReader;
use ::store::idempotency::{Fingerprint, Idempotent, Keyed};
use ::store::{Db, Operation};
use contracts::common::v1::Audience;
use contracts::id::OutletId;
use contracts::room::v1::channel_service_server::ChannelServiceServer;
use contracts::room::v1::creator_service_server::CreatorServiceServer;
use contracts::room::v1::follow_service_server::FollowServiceServer;
use contracts::room::v1::host_service_server::HostServiceServer;
use contracts::room::v1::privacy_service_server::PrivacyServiceServer;
use contracts::room::v1::programme_service_server::ProgrammeServiceServer;
use contracts::room::v1::room_feed_service_server::RoomFeedServiceServer;
use contracts::room::v1::room_service_server::RoomServiceServer;
use contracts::room::v1::showcase_service_server::ShowcaseServiceServer;
use kit::auth::TokenSigner;
use kit::caller::Caller;
use kit::errors::{ErrorReason, Fault, Refusal};
use kit::lifecycle::Lifecycle;
use kit::page::Page;
use kit::validate::Violations;
use prost::Message;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::live::{Channels, Rooms};
use crate::model::{Eyes, Place};
use crate::ops::read::Outlet;

/// The answer of a method.
type Answer<R> = Result<Response<R>, Status>;

/// All services of rooms.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) feed: FeedReader,
    pub(crate) signer: TokenSigner,
    pub(crate) lifecycle: Lifecycle,
}

/// A mutation's method and key, and what of the request makes a retry the same call.
struct Keys<'a, Q> {
    method: &'static str,
    request_id: String,
    request: &'a Q,
}

impl Api {
    /// Adds the services to a server.
    pub(crate) fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(HostServiceServer::new(self.clone()))
            .add_service(RoomServiceServer::new(self.clone()))
            .add_service(ShowcaseServiceServer::new(self.clone()))
            .add_service(ChannelServiceServer::new(self.clone()))
            .add_service(ProgrammeServiceServer::new(self.clone()))
            .add_service(CreatorServiceServer::new(self.clone()))
            .add_service(FollowServiceServer::new(self.clone()))
            .add_service(PrivacyServiceServer::new(self.clone()))
            .add_service(watch::AudienceRoutes::new(self.clone()))
            .add_service(RoomFeedServiceServer::new(self));
    }

    /// Runs a mutation once for its key.
    async fn mutate<Q: Message, O: Operation, R: Message + Default + 'static>(
        &self,
        caller: &Caller,
        keys: Keys<'_, Q>,
        operation: O,
        render: impl Fn(&O::Output) -> R + Send + Sync + 'static,
    ) -> Result<R, Fault> {
        let mut scope = caller.scope_key();
        if let Some(room) = &caller.room_id {
            // A shopper in two rooms is two callers.
            scope = format!("{scope}|{room}");
        }
        let keyed = Keyed::new(
            scope,
            keys.method,
            keys.request_id,
            Fingerprint::of(keys.request),
        );
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    async fn read<O: Operation>(&self, caller: &Caller, operation: O) -> Result<O::Output, Fault> {
        self.db.read(caller, operation).await
    }

    /// The page that a list asks for; `query` names the list and everything that filters it.
    fn page(
        &self,
        caller: &Caller,
        size: i32,
        token: &str,
        query: &[&str],
    ) -> Result<Page, Refusal> {
        let query = format!("{}|{}", caller.scope_key(), query.join("|"));
        Page::parse(
            size,
            token,
            self.config.page_size_default,
            self.config.page_size_max,
            &query,
        )
    }
}

/// The id after which a page begins; empty for the first one.
fn after(page: &Page) -> Result<String, Refusal> {
    Ok(page
        .after_key(1)?
        .map(<[String]>::concat)
        .unwrap_or_default())
}

/// Who calls, and what for.
fn open<Q>(request: Request<Q>) -> Result<(Arc<Caller>, Q), Status> {
    let caller = Caller::of(&request)?;
    Ok((caller, request.into_inner()))
}

/// With whose eyes a caller looks.
fn eyes(caller: &Caller) -> Result<Eyes, Refusal> {
    match caller.audience {
        Audience::Partner => Ok(Eyes::Partner(caller.partner()?)),
        Audience::Viewer => Ok(Eyes::Viewer(caller.partner()?)),
        Audience::Retailer | Audience::Service => Ok(Eyes::Retailer),
        Audience::Unspecified => Err(Refusal::new(
            ErrorReason::PermissionDenied,
            "This token may not look at rooms.",
        )),
    }
}

/// The only outlet that a viewer may name is its token's.
fn viewers_outlet(caller: &Caller, named: Option<OutletId>) -> Result<Outlet, Refusal> {
    match (caller.outlet_id, named) {
        (Some(own), Some(named)) if own != named => Err(Refusal::not_found("outlet")),
        (Some(own), _) => Ok(Outlet::Named(own)),
        (None, _) => Err(no_viewer()),
    }
}

/// Where a viewer watches, as the token says.
fn viewers_place(caller: &Caller) -> Result<Place, Refusal> {
    let outlet_id = caller.outlet_id.ok_or_else(no_viewer)?;
    Ok(Place {
        outlet_id,
        partner_id: caller.partner()?,
    })
}

fn no_viewer() -> Refusal {
    Refusal::new(
        ErrorReason::PermissionDenied,
        "This call is for shoppers; use a viewer's token of one room.",
    )
}

/// A value that every check has passed.
fn given<T>(value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::internal("a field passed its checks and has no value"))
}

fn request_id(v: &mut Violations, text: &str) -> String {
    v.text("request_id", text, 1..=64)
}

fn etag(v: &mut Violations, text: &str) -> Option<String> {
    v.opt_text("etag", text, 1..=64)
}
