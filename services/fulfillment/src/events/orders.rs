//! Reads the order feed, and the order lists when the feed has forgotten what comes next.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::store::Db;
use ::store::Tx;
use ::store::consumer::{Acting, Consume, Consumer, ConsumerConfig, Pages, Remote};
use contracts::feed::FeedMessage;
use contracts::id::OrderId;
use contracts::order::v1::order_feed_service_client::OrderFeedServiceClient;
use contracts::order::v1::order_service_client::OrderServiceClient;
use contracts::order::v1::{
    ListOrderFeedRequest, ListOrdersRequest, ListRefundsRequest, OrderFeedEntry, OrderState,
    WatchOrderFeedRequest,
};
use futures::StreamExt;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::wire::Wire;

use super::{OrderNews, order_news, paid_order, refund_news, shopper_news};
use crate::model::aftersale::{AftersaleLimits, AftersaleState};
use crate::model::returns::ReturnState;
use crate::ops::aftersale::ListAftersales;
use crate::ops::aftersale_time::{self, LearnMatterRefund};
use crate::ops::intake::{self, LetIn};
use crate::ops::privacy;
use crate::ops::read::ListReturns;
use crate::ops::returns::{self, LearnRefund};
use crate::store::aftersale_list::AftersaleQuery;
use crate::store::fulfillment::fulfillments_lock_ahead;
use crate::store::privacy::shopper_learn;
use crate::store::return_list::ReturnQuery;

/// The name under which the place in the order feed is kept.
pub const CONSUMER: &str = "order-feed";

/// Orders on a page when the lists are read instead of the feed.
const BOOTSTRAP_PAGE: i32 = 200;

/// What is done with an entry of the order feed.
#[derive(Clone, Debug)]
pub struct Intake {
    aftersales: Arc<AftersaleLimits>,
}

impl Intake {
    /// With the times and limits of matters after the sale.
    pub fn new(aftersales: AftersaleLimits) -> Self {
        Intake {
            aftersales: Arc::new(aftersales),
        }
    }
}

impl Consume<OrderFeedEntry> for Intake {
    async fn apply(&self, tx: &mut Tx, entry: &OrderFeedEntry) -> Result<(), Fault> {
        let news = order_news(entry, tx.now())?;
        learn_shoppers(tx, &[entry]).await?;
        take(tx, news, &self.aftersales).await
    }

    /// A page touches the fulfilments of many orders, in the order of the feed. They are locked ahead in the
    /// order of their ids, as waves of parcels and batches of tracking lock theirs, so that neither ever waits
    /// for the other crosswise.
    async fn apply_all(
        &self,
        tx: &mut Tx,
        entries: &[&OrderFeedEntry],
        acting: &Acting,
    ) -> Result<(), Fault> {
        let now = tx.now();
        let mut told = Vec::with_capacity(entries.len());
        for entry in entries {
            told.push((entry.meta(), order_news(entry, now)?));
        }
        let orders: BTreeSet<OrderId> = told.iter().filter_map(|(_, news)| news.order()).collect();
        let orders: Vec<OrderId> = orders.into_iter().collect();
        fulfillments_lock_ahead(tx, &orders).await?;
        learn_shoppers(tx, entries).await?;
        for (meta, news) in told {
            acting.because_of(tx, meta);
            take(tx, news, &self.aftersales).await?;
        }
        Ok(())
    }
}

/// Keeps whose orders they are, for sealing and erasing what is said about them.
async fn learn_shoppers(tx: &mut Tx, entries: &[&OrderFeedEntry]) -> Result<(), Fault> {
    for (order_id, partner_id, shopper_ref) in entries.iter().filter_map(|told| shopper_news(told))
    {
        shopper_learn(tx, &order_id, &partner_id, shopper_ref).await?;
    }
    Ok(())
}

async fn take(tx: &mut Tx, news: OrderNews, limits: &AftersaleLimits) -> Result<(), Fault> {
    match news {
        OrderNews::Paid(order) => intake::arrive(tx, *order).await,
        OrderNews::ContactSet(order) => intake::contact_set(tx, &order).await,
        OrderNews::ReturnRefund(news) => returns::refund_told(tx, &news).await,
        OrderNews::MatterRefund(news) => aftersale_time::refund_told(tx, &news, limits).await,
        OrderNews::Erase(partner, shopper) => privacy::erasure_told(tx, &partner, &shopper).await,
        OrderNews::Other => Ok(()),
    }
}

/// Follows the order feed into `db` until it is cancelled.
pub async fn follow(
    db: Db,
    order: Wire,
    config: ConsumerConfig,
    aftersales: AftersaleLimits,
    drain: tokio_util::sync::CancellationToken,
) {
    let feed = OrderFeedServiceClient::new(order.clone());
    let watched = feed.clone();
    let source = Remote::new(
        move |cursor, limit| list(feed.clone(), cursor, limit),
        move |cursor| watch(watched.clone(), cursor),
    );
    let lists = OrderServiceClient::new(order);
    let into = db.clone();
    let intake = Intake::new(aftersales);
    Consumer::new(db, CONSUMER, source, intake.clone(), config)
        .on_expired(move |_cursor| bootstrap(lists.clone(), into.clone(), intake.clone()))
        .run(drain)
        .await;
}

type FeedClient = OrderFeedServiceClient<Wire>;
type ListClient = OrderServiceClient<Wire>;

async fn list(
    mut feed: FeedClient,
    cursor: String,
    limit: u32,
) -> Result<Vec<OrderFeedEntry>, Fault> {
    let page_size = i32::try_from(limit).unwrap_or(i32::MAX);
    let answer = feed
        .list_order_feed(ListOrderFeedRequest { cursor, page_size })
        .await;
    Ok(answer
        .map_err(|status| Fault::from_status(&status))?
        .into_inner()
        .entries)
}

async fn watch(mut feed: FeedClient, cursor: String) -> Result<Pages<OrderFeedEntry>, Fault> {
    let answer = feed
        .watch_order_feed(WatchOrderFeedRequest { cursor })
        .await;
    let pages = answer
        .map_err(|status| Fault::from_status(&status))?
        .into_inner();
    let pages = pages.map(|page| {
        page.map(|page| page.entries)
            .map_err(|status| Fault::from_status(&status))
    });
    Ok(pages.boxed())
}

/// Makes up for the feed from the lists.
async fn bootstrap(lists: ListClient, into: Db, intake: Intake) -> Result<(), Fault> {
    let caller = Caller::system(CONSUMER);
    let_in_all(lists.clone(), &into, &caller).await?;
    learn_refunds(lists.clone(), &into, &caller, &intake).await?;
    learn_matter_refunds(lists, &into, &caller, &intake).await
}

/// Lets in every order that is paid and open and has not arrived yet.
async fn let_in_all(mut lists: ListClient, into: &Db, caller: &Caller) -> Result<(), Fault> {
    let mut page_token = String::new();
    loop {
        let request = ListOrdersRequest {
            state: OrderState::Confirmed.into(),
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..ListOrdersRequest::default()
        };
        let page = lists
            .list_orders(request)
            .await
            .map_err(|status| Fault::from_status(&status))?
            .into_inner();
        for order in page.orders {
            match paid_order(&order, into.clock().now()) {
                Ok(order) => into.execute(caller, LetIn { order }).await?,
                // One that was shipped before is known already, or needs a person; the rest must not wait.
                Err(refusal) => {
                    tracing::info!(order_id = order.order_id, %refusal, "an order is not let in anew")
                }
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

/// Reads what has become of the refunds of all returns that wait for theirs.
async fn learn_refunds(
    lists: ListClient,
    into: &Db,
    caller: &Caller,
    intake: &Intake,
) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let query = ReturnQuery {
            partner: None,
            order: None,
            state: Some(ReturnState::Received),
            after,
            limit: BOOTSTRAP_PAGE.into(),
        };
        let waiting = into.read(caller, ListReturns(query)).await?;
        for goods_return in &waiting {
            learn_refunds_of(
                lists.clone(),
                into,
                caller,
                intake,
                goods_return.order_id.as_str(),
            )
            .await?;
        }
        after = waiting.last().map(|last| last.id);
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Reads what has become of the refunds of all matters that wait for theirs.
async fn learn_matter_refunds(
    lists: ListClient,
    into: &Db,
    caller: &Caller,
    intake: &Intake,
) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let query = AftersaleQuery {
            partner: None,
            order: None,
            state: Some(AftersaleState::Refunding),
            after,
            limit: BOOTSTRAP_PAGE.into(),
        };
        let waiting = into.read(caller, ListAftersales(query)).await?;
        for matter in &waiting {
            learn_refunds_of(
                lists.clone(),
                into,
                caller,
                intake,
                matter.order_id.as_str(),
            )
            .await?;
        }
        after = waiting.last().map(|last| last.id);
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn learn_refunds_of(
    mut lists: ListClient,
    into: &Db,
    caller: &Caller,
    intake: &Intake,
    order_id: &str,
) -> Result<(), Fault> {
    let mut page_token = String::new();
    loop {
        let request = ListRefundsRequest {
            order_id: order_id.to_owned(),
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..ListRefundsRequest::default()
        };
        let page = lists
            .list_refunds(request)
            .await
            .map_err(|status| Fault::from_status(&status))?
            .into_inner();
        for refund in page.refunds {
            match refund_news(&refund) {
                Ok(Some(OrderNews::ReturnRefund(news))) => {
                    into.execute(caller, LearnRefund { news: *news }).await?
                }
                Ok(Some(OrderNews::MatterRefund(news))) => {
                    let limits = (*intake.aftersales).clone();
                    into.execute(
                        caller,
                        LearnMatterRefund {
                            news: *news,
                            limits,
                        },
                    )
                    .await?
                }
                Ok(_) => {}
                Err(refusal) => {
                    tracing::warn!(refund_id = refund.refund_id, %refusal, "a refund cannot be read");
                }
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}
