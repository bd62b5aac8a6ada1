//! An order service that is nothing but a feed and two lists.

use std::sync::{Arc, Mutex};

use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content;
use contracts::order::v1::order_feed_service_server::{OrderFeedService, OrderFeedServiceServer};
use contracts::order::v1::order_service_server::{OrderService, OrderServiceServer};
use contracts::order::v1::refund_service_server::{RefundService, RefundServiceServer};
use contracts::order::v1::{OrderChange, OrderFeedEntry};
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::wire::Wire;
use store::feed::{FeedConfig, FeedReader, NewEntry};
use store::{Db, Operation, Tx};
use testkit::TestDb;
use testkit::house::House;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::common::changed;
use crate::server::service_tokens;

/// Publishes an entry of the order feed.
struct Publish(OrderFeedEntry, String);

impl Operation for Publish {
    type Output = ();

    fn name(&self) -> &'static str {
        "publish"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        tx.publish(NewEntry::new("order", self.1.as_str(), &self.0));
        Ok(())
    }
}

#[derive(Clone)]
pub struct Orders {
    db: Db,
    reader: FeedReader,
    drain: CancellationToken,
    listed: Arc<Mutex<Vec<pb::Order>>>,
    refunds: Arc<Mutex<Vec<pb::Refund>>>,
    compensations: Arc<Mutex<Vec<pb::Compensation>>>,
    deciders: Arc<Mutex<Vec<pb::RefundDecider>>>,
}

impl Orders {
    pub fn new(t: &TestDb) -> Orders {
        Orders {
            db: t.db.clone(),
            reader: FeedReader::new(t.db.clone(), "order", FeedConfig::default()),
            drain: CancellationToken::new(),
            listed: Arc::default(),
            refunds: Arc::default(),
            compensations: Arc::default(),
            deciders: Arc::default(),
        }
    }

    /// Served in `house`, for the service under test.
    pub fn wire(&self, house: &House) -> Wire {
        let wire = house.serve(|routes| {
            routes
                .add_service(OrderFeedServiceServer::new(self.clone()))
                .add_service(OrderServiceServer::new(self.clone()))
                .add_service(RefundServiceServer::new(self.clone()));
        });
        wire.authorized(service_tokens(house))
    }

    /// Ends the streams, as a server does that goes away.
    pub fn end(&self) {
        self.drain.cancel();
    }

    pub async fn tell(&self, change: OrderChange, order: pb::Order) {
        let id = order.order_id.clone();
        let publish = Publish(changed(change, order), id);
        self.db
            .execute(&Caller::system("test"), publish)
            .await
            .expect("published");
    }

    pub fn list(&self, order: pb::Order) {
        self.listed.lock().expect("no panic").push(order);
    }

    /// Tells of a refund in the feed.
    pub async fn tell_refund(&self, entry: OrderFeedEntry) {
        let id = refund_of(&entry).order_id;
        self.db
            .execute(&Caller::system("test"), Publish(entry, id))
            .await
            .expect("published");
    }

    /// Has a refund in the list, and not in the feed.
    pub fn list_refund(&self, entry: OrderFeedEntry) {
        let refund = refund_of(&entry);
        self.refunds.lock().expect("no panic").push(refund);
    }

    /// Has a compensation in the list.
    pub fn compensate(&self, made: pb::Compensation) {
        self.compensations.lock().expect("no panic").push(made);
    }

    /// Knows who decided on something, whichever order it is of.
    pub fn decide(&self, decider: pb::RefundDecider) {
        self.deciders.lock().expect("no panic").push(decider);
    }

    /// Knows nothing of money any more.
    pub fn forget(&self) {
        self.refunds.lock().expect("no panic").clear();
        self.compensations.lock().expect("no panic").clear();
    }
}

fn refund_of(entry: &OrderFeedEntry) -> pb::Refund {
    match &entry.content {
        Some(Content::Refund(refund)) => refund.clone(),
        other => panic!("expected a refund, got {other:?}"),
    }
}

#[tonic::async_trait]
impl OrderFeedService for Orders {
    async fn list_order_feed(
        &self,
        request: Request<pb::ListOrderFeedRequest>,
    ) -> Result<Response<pb::ListOrderFeedResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = self
            .reader
            .serve_list(&caller, &request.cursor, request.page_size)
            .await?;
        Ok(Response::new(pb::ListOrderFeedResponse {
            entries: page.entries,
            next_cursor: page.next_cursor,
        }))
    }

    type WatchOrderFeedStream = BoxStream<'static, Result<pb::WatchOrderFeedResponse, Status>>;

    async fn watch_order_feed(
        &self,
        request: Request<pb::WatchOrderFeedRequest>,
    ) -> Result<Response<Self::WatchOrderFeedStream>, Status> {
        let caller = Caller::of(&request)?;
        let cursor = request.into_inner().cursor;
        let pages = self
            .reader
            .serve_watch(&caller, &cursor, self.drain.clone())
            .await?;
        let pages = pages.map(|page| {
            Ok(pb::WatchOrderFeedResponse {
                entries: page.map_err(Status::from)?,
            })
        });
        Ok(Response::new(pages.boxed()))
    }
}

/// Everything but the lists is nobody's business here.
macro_rules! only_the_lists {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        #[tonic::async_trait]
        impl OrderService for Orders {
            async fn list_orders(
                &self,
                request: Request<pb::ListOrdersRequest>,
            ) -> Result<Response<pb::ListOrdersResponse>, Status> {
                let request = request.into_inner();
                assert_eq!(request.state(), pb::OrderState::Confirmed);
                let listed = self.listed.lock().expect("no panic");
                // One order on a page, so that pages are followed.
                let at: usize = request.page_token.parse().unwrap_or(0);
                let orders: Vec<_> = listed.get(at).cloned().into_iter().collect();
                let next_page_token = if at + 1 < listed.len() { (at + 1).to_string() } else { String::new() };
                Ok(Response::new(pb::ListOrdersResponse { orders, next_page_token }))
            }

            async fn list_refunds(
                &self,
                request: Request<pb::ListRefundsRequest>,
            ) -> Result<Response<pb::ListRefundsResponse>, Status> {
                let order_id = request.into_inner().order_id;
                let mut refunds = self.refunds.lock().expect("no panic").clone();
                refunds.retain(|refund| refund.order_id == order_id);
                Ok(Response::new(pb::ListRefundsResponse { refunds, next_page_token: String::new() }))
            }

            async fn get_order(
                &self,
                request: Request<pb::GetOrderRequest>,
            ) -> Result<Response<pb::GetOrderResponse>, Status> {
                let order_id = request.into_inner().order_id;
                let listed = self.listed.lock().expect("no panic").clone();
                let order = listed.into_iter().find(|order| order.order_id == order_id);
                match order {
                    None => Err(Fault::from(Refusal::not_found("order")).into()),
                    order => Ok(Response::new(pb::GetOrderResponse { order })),
                }
            }

            $(
                async fn $method(&self, _: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                    Err(Status::unimplemented("not in this test"))
                }
            )+
        }
    };
}

only_the_lists! {
    quote_order: QuoteOrderRequest => QuoteOrderResponse;
    place_order: PlaceOrderRequest => PlaceOrderResponse;
    extend_hold: ExtendHoldRequest => ExtendHoldResponse;
    confirm_payment: ConfirmPaymentRequest => ConfirmPaymentResponse;
    preview_cancellation: PreviewCancellationRequest => PreviewCancellationResponse;
    cancel_order: CancelOrderRequest => CancelOrderResponse;
    set_contact: SetContactRequest => SetContactResponse;
    get_contact: GetContactRequest => GetContactResponse;
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

/// Money beside the lists: what cases are resolved with, and who decided on it.
macro_rules! only_what_cases_ask {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        #[tonic::async_trait]
        impl RefundService for Orders {
            async fn list_compensations(
                &self,
                request: Request<pb::ListCompensationsRequest>,
            ) -> Result<Response<pb::ListCompensationsResponse>, Status> {
                let request = request.into_inner();
                let mut compensations = self.compensations.lock().expect("no panic").clone();
                compensations.retain(|made| made.order_id == request.order_id && made.partner_id == request.partner_id);
                Ok(Response::new(pb::ListCompensationsResponse { compensations, next_page_token: String::new() }))
            }

            async fn list_refund_deciders(
                &self,
                _: Request<pb::ListRefundDecidersRequest>,
            ) -> Result<Response<pb::ListRefundDecidersResponse>, Status> {
                let deciders = self.deciders.lock().expect("no panic").clone();
                Ok(Response::new(pb::ListRefundDecidersResponse { deciders, next_page_token: String::new() }))
            }

            $(
                async fn $method(&self, _: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                    Err(Status::unimplemented("not in this test"))
                }
            )+
        }
    };
}

only_what_cases_ask! {
    get_refund: GetRefundRequest => GetRefundResponse;
    authorise_refund: AuthoriseRefundRequest => AuthoriseRefundResponse;
    decide_refund_proposal: DecideRefundProposalRequest => DecideRefundProposalResponse;
    list_refund_proposals: ListRefundProposalsRequest => ListRefundProposalsResponse;
    withdraw_refund: WithdrawRefundRequest => WithdrawRefundResponse;
    report_partner_refund: ReportPartnerRefundRequest => ReportPartnerRefundResponse;
    authorise_compensation: AuthoriseCompensationRequest => AuthoriseCompensationResponse;
    report_compensation: ReportCompensationRequest => ReportCompensationResponse;
    complete_compensation: CompleteCompensationRequest => CompleteCompensationResponse;
    report_chargeback: ReportChargebackRequest => ReportChargebackResponse;
    list_chargebacks: ListChargebacksRequest => ListChargebacksResponse;
}
