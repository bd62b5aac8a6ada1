//! Reads the order feed, and the order lists when the feed has forgotten what comes next.

use ::store::Db;
use ::store::Tx;
use ::store::consumer::{Consume, Consumer, ConsumerConfig, Pages, Remote};
use contracts::order::v1::order_feed_service_client::OrderFeedServiceClient;
use contracts::order::v1::order_service_client::OrderServiceClient;
use contracts::order::v1::{
    ListOrderFeedRequest, ListOrdersRequest, OrderFeedEntry, OrderState, WatchOrderFeedRequest,
};
use futures::StreamExt;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::wire::Wire;

use super::{OrderNews, order_news, paid_order};
use crate::ops::intake::{self, LetIn};

/// The name under which the place in the order feed is kept.
pub const CONSUMER: &str = "order-feed";

/// Orders on a page when the lists are read instead of the feed.
const BOOTSTRAP_PAGE: i32 = 200;

/// What is done with an entry of the order feed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intake;

impl Consume<OrderFeedEntry> for Intake {
    async fn apply(&self, tx: &mut Tx, entry: &OrderFeedEntry) -> Result<(), Fault> {
        match order_news(entry, tx.now())? {
            OrderNews::Paid(order) => intake::arrive(tx, *order).await,
            OrderNews::ContactSet(order) => intake::contact_set(tx, &order).await,
            OrderNews::Other => Ok(()),
        }
    }
}

/// Follows the order feed into `db` until it is cancelled.
pub async fn follow(
    db: Db,
    order: Wire,
    config: ConsumerConfig,
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
    Consumer::new(db, CONSUMER, source, Intake, config)
        .on_expired(move |_cursor| bootstrap(lists.clone(), into.clone()))
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

/// Lets in every order that is paid and open and has not arrived yet.
async fn bootstrap(mut lists: ListClient, into: Db) -> Result<(), Fault> {
    let caller = Caller::system(CONSUMER);
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
                Ok(order) => into.execute(&caller, LetIn { order }).await?,
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
