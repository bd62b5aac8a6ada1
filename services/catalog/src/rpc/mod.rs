//! The contract's methods: parse, run the operation, render.

mod access;
mod assortment;
mod batch;
mod brand;
mod feed;
mod import;
mod legal_entity;
mod listing;
mod parse;
mod parse_terms;
mod partner;
mod product;
mod regulation;

pub(crate) mod render;
pub(crate) mod render_access;
pub(crate) mod render_rules;

use std::sync::Arc;

use contracts::catalog::v1::assortment_service_server::AssortmentServiceServer;
use contracts::catalog::v1::brand_service_server::BrandServiceServer;
use contracts::catalog::v1::catalog_feed_service_server::CatalogFeedServiceServer;
use contracts::catalog::v1::legal_entity_service_server::LegalEntityServiceServer;
use contracts::catalog::v1::listing_service_server::ListingServiceServer;
use contracts::catalog::v1::partner_service_server::PartnerServiceServer;
use contracts::catalog::v1::product_service_server::ProductServiceServer;
use contracts::catalog::v1::regulation_service_server::RegulationServiceServer;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::lifecycle::Lifecycle;
use kit::page::Page;
use kit::partners::PartnerDirectory;
use kit::validate::Violations;
use prost::Message;
use store::feed::FeedReader;
use store::idempotency::{Fingerprint, Idempotent, Keyed};
use store::{Db, Operation};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::store::Slice;

/// The answer of a method.
type Answer<R> = Result<Response<R>, Status>;

/// All services of the catalogue.
#[derive(Clone)]
pub(crate) struct Rpc {
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) feed: FeedReader,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) partners: PartnerDirectory,
}

/// A mutation's method, request and key: what makes a retry the same call.
struct Keys<'a, Q> {
    method: &'static str,
    request_id: String,
    request: &'a Q,
}

impl Rpc {
    /// Adds the services to a server.
    pub(crate) fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(PartnerServiceServer::new(self.clone()))
            .add_service(ProductServiceServer::new(self.clone()))
            .add_service(ListingServiceServer::new(self.clone()))
            .add_service(BrandServiceServer::new(self.clone()))
            .add_service(RegulationServiceServer::new(self.clone()))
            .add_service(LegalEntityServiceServer::new(self.clone()))
            .add_service(AssortmentServiceServer::new(self.clone()))
            .add_service(CatalogFeedServiceServer::new(self));
    }

    /// Runs a mutation once for its key.
    async fn mutate<Q: Message, O: Operation, R: Message + Default + 'static>(
        &self,
        caller: &Caller,
        keys: Keys<'_, Q>,
        operation: O,
        render: impl Fn(&O::Output) -> R + Send + Sync + 'static,
    ) -> Answer<R> {
        let fingerprint = Fingerprint::of(keys.request);
        let keyed = Keyed::new(
            caller.scope_key(),
            keys.method,
            keys.request_id,
            fingerprint,
        );
        let once = Idempotent::new(keyed, operation, render);
        Ok(Response::new(self.db.execute(caller, once).await?))
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
    ) -> Result<(Page, Slice), Refusal> {
        let query = format!("{}|{}", caller.scope_key(), query.join("|"));
        let (default, max) = (self.config.page_size_default, self.config.page_size_max);
        let page = Page::parse(size, token, default, max, &query)?;
        let after = page
            .after_key(1)?
            .map(|key| key.concat())
            .unwrap_or_default();
        let slice = Slice {
            after,
            limit: page.limit(),
        };
        Ok((page, slice))
    }

    /// Cuts what was read to the page, and to what may travel at once; gives the next page's token.
    fn cut<M: Message>(
        &self,
        page: &Page,
        items: Vec<M>,
        id: impl Fn(&M) -> &str,
    ) -> (Vec<M>, String) {
        let (items, mut next) = page.cut(items, |item| vec![id(item).to_owned()]);
        let (items, is_shorter) = self.fit(items);
        if is_shorter && let Some(last) = items.last() {
            next = page.next_token(&[id(last)]);
        }
        (items, next)
    }

    /// Cuts items to what may travel at once, at least one of them; tells whether some were left out.
    fn fit<M: Message>(&self, mut items: Vec<M>) -> (Vec<M>, bool) {
        let mut bytes = 0;
        let fitting = items.iter().take_while(|item| {
            bytes += item.encoded_len();
            bytes <= self.config.page_bytes_max
        });
        let count = fitting.count().max(1);
        let is_shorter = count < items.len();
        items.truncate(count);
        (items, is_shorter)
    }
}

/// Who calls, and what for.
fn open<Q>(request: Request<Q>) -> Result<(Arc<Caller>, Q), Status> {
    let caller = Caller::of(&request)?;
    Ok((caller, request.into_inner()))
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

fn reason(v: &mut Violations, text: &str) -> String {
    v.text("reason", text, 1..=500)
}
