//! The services on the wire: thin. Each handler parses, asks the desk or runs one operation, and renders.

mod allotment;
mod cancel;
pub mod client;
mod compensation;
mod contact;
pub mod conversion;
mod drops;
mod feed;
mod handshake;
mod ledger;
mod ledger_adjustment;
mod link;
mod money;
pub mod parse;
mod persons;
mod privacy;
mod rate;
mod read;
mod refund;
pub mod render;
mod sale;
mod sales;

use std::sync::Arc;

use ::store::Db;
use ::store::feed::FeedReader;
use ::store::idempotency::{Fingerprint, Keyed};
use contracts::common::v1::Audience;
use contracts::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use contracts::id::PartnerId;
use contracts::order::v1 as pb;
use contracts::order::v1::allotment_service_server::{AllotmentService, AllotmentServiceServer};
use contracts::order::v1::drop_service_server::{DropService, DropServiceServer};
use contracts::order::v1::exchange_rate_service_server::{
    ExchangeRateService, ExchangeRateServiceServer,
};
use contracts::order::v1::ledger_service_server::{LedgerService, LedgerServiceServer};
use contracts::order::v1::order_feed_service_server::OrderFeedServiceServer;
use contracts::order::v1::order_service_server::{OrderService, OrderServiceServer};
use contracts::order::v1::person_service_server::{PersonService, PersonServiceServer};
use contracts::order::v1::privacy_service_server::{PrivacyService, PrivacyServiceServer};
use contracts::order::v1::refund_service_server::{RefundService, RefundServiceServer};
use contracts::order::v1::report_service_server::{ReportService, ReportServiceServer};
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::ids::SharedIds;
use kit::page::Page;
use kit::wire::Wire;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::link::LinkSealer;
use crate::model::command::{Answer, Render, RequestKey};
use crate::ops::desk::Desk;
use crate::ops::keys::KeyRing;
use crate::person::PersonHasher;
use crate::quote::QuoteSealer;

/// The name that binds cursors to this service's feed.
const FEED: &str = "order";

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    pub(crate) db: Db,
    pub(crate) desk: Desk,
    pub(crate) config: Arc<Config>,
    pub(crate) ids: SharedIds,
    pub(crate) sealer: Arc<QuoteSealer>,
    pub(crate) links: Arc<LinkSealer>,
    pub(crate) persons: Option<Arc<PersonHasher>>,
    pub(crate) keys: KeyRing,
    pub(crate) fulfillment: FulfillmentServiceClient<Wire>,
    pub(crate) feed: FeedReader,
    pub(crate) drain: CancellationToken,
}

/// What a service is made of beside its database and configuration.
pub struct Made {
    /// The way to the lanes.
    pub desk: Desk,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// Seals quotes.
    pub sealer: QuoteSealer,
    /// Writes deep links.
    pub links: LinkSealer,
    /// Hashes keys of people; none where limits per person are off.
    pub persons: Option<PersonHasher>,
    /// The partners' keys.
    pub keys: KeyRing,
    /// The fulfillment service, with tokens of this one.
    pub fulfillment: Wire,
    /// Ends streams.
    pub drain: CancellationToken,
}

impl Api {
    /// Handlers on `db`.
    pub fn new(db: Db, config: Config, made: Made) -> Self {
        let feed = FeedReader::new(db.clone(), FEED, config.feed.clone());
        Api {
            db,
            desk: made.desk,
            config: Arc::new(config),
            ids: made.ids,
            sealer: Arc::new(made.sealer),
            links: Arc::new(made.links),
            persons: made.persons.map(Arc::new),
            keys: made.keys,
            fulfillment: FulfillmentServiceClient::new(made.fulfillment),
            feed,
            drain: made.drain,
        }
    }

    /// Adds the routes of all services.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(OrderServiceServer::new(self.clone()))
            .add_service(OrderFeedServiceServer::new(self.clone()))
            .add_service(AllotmentServiceServer::new(self.clone()))
            .add_service(DropServiceServer::new(self.clone()))
            .add_service(PersonServiceServer::new(self.clone()))
            .add_service(PrivacyServiceServer::new(self.clone()))
            .add_service(ExchangeRateServiceServer::new(self.clone()))
            .add_service(RefundServiceServer::new(self.clone()))
            .add_service(LedgerServiceServer::new(self.clone()))
            .add_service(ReportServiceServer::new(self));
    }

    /// A page of a list; `query` is what else decides what is in it.
    fn page(&self, page_size: i32, page_token: &str, query: &str) -> Result<Page, Refusal> {
        Page::parse(
            page_size,
            page_token,
            self.config.page_size,
            self.config.page_size_max,
            query,
        )
    }
}

/// The sort key of the page before, for lists sorted by one id.
fn after(page: &Page) -> Result<String, Refusal> {
    Ok(page
        .after_key(1)?
        .map(|key| key[0].clone())
        .unwrap_or_default())
}

/// The partner that the caller is bound to; none for the retailer and the suite.
fn bound_to(caller: &Caller) -> Result<Option<PartnerId>, Refusal> {
    match caller.audience {
        Audience::Retailer | Audience::Service => Ok(None),
        Audience::Partner | Audience::Viewer | Audience::Unspecified => caller.partner().map(Some),
    }
}

/// The partner whose things a list shows: a partner's own, or the one that is asked for; none for all.
fn listed_partner(caller: &Caller, asked: Option<PartnerId>) -> Result<Option<PartnerId>, Refusal> {
    if let Some(asked) = &asked {
        caller.require_partner(asked, "partner")?;
    }
    Ok(bound_to(caller)?.or(asked))
}

/// The key of a mutation. The whole request is what was asked for.
fn keyed(caller: &Caller, method: &'static str, request_id: &str, request: &impl Message) -> Keyed {
    Keyed::new(
        caller.scope_key(),
        method,
        request_id,
        Fingerprint::of(request),
    )
}

/// The same for a command of the desk.
fn request_key(keyed: Keyed, render: Render) -> RequestKey {
    let Keyed {
        scope,
        method,
        key,
        fingerprint,
    } = keyed;
    RequestKey {
        scope,
        method,
        key,
        fingerprint,
        render,
    }
}

/// The answer of the desk to a command with a request key: rendered now, or kept from before.
fn answered<R: Message + Default>(answer: &Answer, render: Render) -> Result<R, Fault> {
    let bytes = match answer {
        Answer::Replayed(bytes) => bytes.clone(),
        answer => render(answer),
    };
    R::decode(bytes.as_slice()).map_err(Fault::internal)
}

/// Answers each call with the [`Api`]'s function of the same name.
macro_rules! answer {
    ($service:ident { $($method:ident: $request:ident => $response:ident;)+ }) => {
        #[tonic::async_trait]
        impl $service for Api {
            $(
                async fn $method(&self, request: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                    let caller = Caller::of(&request)?;
                    let answer = Api::$method(self, &caller, request.into_inner()).await?;
                    Ok(Response::new(answer))
                }
            )+
        }
    };
}

answer! {
    OrderService {
        quote_order: QuoteOrderRequest => QuoteOrderResponse;
        place_order: PlaceOrderRequest => PlaceOrderResponse;
        extend_hold: ExtendHoldRequest => ExtendHoldResponse;
        confirm_payment: ConfirmPaymentRequest => ConfirmPaymentResponse;
        cancel_order: CancelOrderRequest => CancelOrderResponse;
        preview_cancellation: PreviewCancellationRequest => PreviewCancellationResponse;
        get_order: GetOrderRequest => GetOrderResponse;
        list_orders: ListOrdersRequest => ListOrdersResponse;
        set_contact: SetContactRequest => SetContactResponse;
        get_contact: GetContactRequest => GetContactResponse;
        list_refunds: ListRefundsRequest => ListRefundsResponse;
        report_refund: ReportRefundRequest => ReportRefundResponse;
        reissue_refund: ReissueRefundRequest => ReissueRefundResponse;
        stop_sale: StopSaleRequest => StopSaleResponse;
        resume_sale: ResumeSaleRequest => ResumeSaleResponse;
        create_deep_link: CreateDeepLinkRequest => CreateDeepLinkResponse;
        get_deep_link: GetDeepLinkRequest => GetDeepLinkResponse;
        report_conversion: ReportConversionRequest => ReportConversionResponse;
        reverse_conversion: ReverseConversionRequest => ReverseConversionResponse;
        get_conversion: GetConversionRequest => GetConversionResponse;
        list_conversions: ListConversionsRequest => ListConversionsResponse;
    }
}

answer! {
    AllotmentService {
        create_allotment: CreateAllotmentRequest => CreateAllotmentResponse;
        record_movement: RecordMovementRequest => RecordMovementResponse;
        assign_listing: AssignListingRequest => AssignListingResponse;
        set_person_limit: SetPersonLimitRequest => SetPersonLimitResponse;
        get_allotment: GetAllotmentRequest => GetAllotmentResponse;
        list_allotments: ListAllotmentsRequest => ListAllotmentsResponse;
        list_movements: ListMovementsRequest => ListMovementsResponse;
        get_availability: GetAvailabilityRequest => GetAvailabilityResponse;
    }
}

answer! {
    DropService {
        create_drop: CreateDropRequest => CreateDropResponse;
        end_drop: EndDropRequest => EndDropResponse;
        get_drop: GetDropRequest => GetDropResponse;
        list_drops: ListDropsRequest => ListDropsResponse;
    }
}

answer! {
    PersonService {
        link_person: LinkPersonRequest => LinkPersonResponse;
        unlink_person: UnlinkPersonRequest => UnlinkPersonResponse;
    }
}

answer! {
    PrivacyService {
        erase_shopper: EraseShopperRequest => EraseShopperResponse;
        get_erasure: GetErasureRequest => GetErasureResponse;
    }
}

answer! {
    ExchangeRateService {
        record_exchange_rate: RecordExchangeRateRequest => RecordExchangeRateResponse;
        get_exchange_rate: GetExchangeRateRequest => GetExchangeRateResponse;
        list_exchange_rates: ListExchangeRatesRequest => ListExchangeRatesResponse;
    }
}

answer! {
    ReportService {
        summarize_sales: SummarizeSalesRequest => SummarizeSalesResponse;
    }
}

answer! {
    RefundService {
        get_refund: GetRefundRequest => GetRefundResponse;
        authorise_refund: AuthoriseRefundRequest => AuthoriseRefundResponse;
        decide_refund_proposal: DecideRefundProposalRequest => DecideRefundProposalResponse;
        list_refund_proposals: ListRefundProposalsRequest => ListRefundProposalsResponse;
        list_refund_deciders: ListRefundDecidersRequest => ListRefundDecidersResponse;
        withdraw_refund: WithdrawRefundRequest => WithdrawRefundResponse;
        report_partner_refund: ReportPartnerRefundRequest => ReportPartnerRefundResponse;
        authorise_compensation: AuthoriseCompensationRequest => AuthoriseCompensationResponse;
        report_compensation: ReportCompensationRequest => ReportCompensationResponse;
        complete_compensation: CompleteCompensationRequest => CompleteCompensationResponse;
        list_compensations: ListCompensationsRequest => ListCompensationsResponse;
        report_chargeback: ReportChargebackRequest => ReportChargebackResponse;
        list_chargebacks: ListChargebacksRequest => ListChargebacksResponse;
    }
}

answer! {
    LedgerService {
        list_ledger_lines: ListLedgerLinesRequest => ListLedgerLinesResponse;
        get_ledger_balance: GetLedgerBalanceRequest => GetLedgerBalanceResponse;
        propose_ledger_adjustment: ProposeLedgerAdjustmentRequest => ProposeLedgerAdjustmentResponse;
        decide_ledger_adjustment: DecideLedgerAdjustmentRequest => DecideLedgerAdjustmentResponse;
        list_ledger_adjustments: ListLedgerAdjustmentsRequest => ListLedgerAdjustmentsResponse;
    }
}
