//! What the suite says afterwards: everything, through its APIs, and a little from its tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use kit::clock::Micros;
use prost::Message;
use vitrine::token::{Role, partner_claims, retailer_claims};

use super::sql::{self, Tables};
use crate::client::{Addresses, Bearer, Caller, Network};
use crate::driver;
use crate::journal::World;

const LIFE: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(60);
/// No feed here is longer; a server that never says "the end" must not keep the checker.
const PAGES_MAX: usize = 100_000;

/// A feed as it is read from its beginning: position and digest.
pub type Feed = Vec<(i64, String)>;

/// Everything that the suite says.
#[derive(Clone, Default)]
pub struct State {
    pub orders: Vec<order::Order>,
    pub refunds: Vec<order::Refund>,
    /// From the order feed.
    pub payments: Vec<order::Payment>,
    /// Changes in the order feed: order, change, its etag.
    pub changes: Vec<(String, i32)>,
    /// When the order feed says that an order's hold ran out, in microseconds since 1970 UTC.
    pub expired: BTreeMap<String, i64>,
    /// The last word of the order feed on each order.
    pub last_word: BTreeMap<String, order::Order>,
    pub allotments: Vec<order::Allotment>,
    pub movements: Vec<order::Movement>,
    pub fulfillments: Vec<fulfillment::Fulfillment>,
    pub shipments: Vec<fulfillment::Shipment>,
    pub returns: Vec<fulfillment::GoodsReturn>,
    pub products: Vec<catalog::Product>,
    pub questions: Vec<room::Question>,
    /// Likes by room.
    pub likes: BTreeMap<String, i64>,
    /// By watcher's name.
    pub feeds: BTreeMap<String, Feed>,
    pub tables: Tables,
}

/// Where to read.
pub struct Place {
    pub addresses: Addresses,
    pub data_dir: std::path::PathBuf,
    pub databases: BTreeMap<&'static str, String>,
}

/// Who reads.
struct Reader {
    ops: Caller,
    warehouse: Caller,
    partners: Vec<(String, Caller)>,
}

macro_rules! all_pages {
    ($caller:expr, $path:expr, $request:expr, $response:ty, $field:ident) => {{
        let mut request = $request;
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: $response = get($caller, $path, &request).await?;
            all.extend(page.$field);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        all
    }};
}

async fn get<Q, A>(caller: &Caller, path: &'static str, request: &Q) -> anyhow::Result<A>
where
    Q: Message + Clone + 'static,
    A: Message + Default + 'static,
{
    match caller.ask::<Q, A>(path, request).await {
        Ok(answered) => Ok(answered.answer),
        Err(ended) => Err(anyhow::anyhow!("{path}: {ended}")),
    }
}

/// Reads everything.
pub async fn state(place: &Place, world: &World) -> anyhow::Result<State> {
    let network = Network::new(&place.addresses, 1, PATIENCE)?;
    let reader = reader(place, world, &network)?;
    let mut state = State::default();
    reader.orders(&mut state).await?;
    reader.goods(&mut state).await?;
    reader.catalogue_and_rooms(world, &mut state).await?;
    reader.order_feed(&mut state).await?;
    reader.other_feeds(&mut state).await?;
    state.tables = sql::tables(&place.databases).await?;
    Ok(state)
}

fn reader(place: &Place, world: &World, network: &Arc<Network>) -> anyhow::Result<Reader> {
    let signer = driver::signer(&place.data_dir)?;
    let retailer = |roles: &'static [Role]| {
        let signer = signer.clone();
        let mint = move || signer.mint(retailer_claims("checker", roles), LIFE);
        Caller::new(network, Bearer::minted(mint))
    };
    let mut partners = Vec::new();
    for id in &world.partners {
        let claims = partner_claims(&id.parse()?);
        let signer = signer.clone();
        let mint = move || signer.mint(claims.clone(), LIFE);
        partners.push((id.clone(), Caller::new(network, Bearer::minted(mint))));
    }
    Ok(Reader {
        ops: retailer(&[Role::Ops]),
        warehouse: retailer(&[Role::Ops, Role::Warehouse]),
        partners,
    })
}

impl Reader {
    async fn orders(&self, state: &mut State) -> anyhow::Result<()> {
        state.orders = all_pages!(
            &self.ops,
            "/vitrine.order.v1.OrderService/ListOrders",
            order::ListOrdersRequest {
                page_size: 200,
                ..Default::default()
            },
            order::ListOrdersResponse,
            orders
        );
        state.refunds = all_pages!(
            &self.ops,
            "/vitrine.order.v1.OrderService/ListRefunds",
            order::ListRefundsRequest {
                page_size: 200,
                ..Default::default()
            },
            order::ListRefundsResponse,
            refunds
        );
        state.allotments = all_pages!(
            &self.ops,
            "/vitrine.order.v1.AllotmentService/ListAllotments",
            order::ListAllotmentsRequest {
                page_size: 200,
                ..Default::default()
            },
            order::ListAllotmentsResponse,
            allotments
        );
        for allotment in &state.allotments {
            let movements = all_pages!(
                &self.ops,
                "/vitrine.order.v1.AllotmentService/ListMovements",
                order::ListMovementsRequest {
                    allotment_id: allotment.allotment_id.clone(),
                    page_size: 200,
                    ..Default::default()
                },
                order::ListMovementsResponse,
                movements
            );
            state.movements.extend(movements);
        }
        Ok(())
    }

    async fn goods(&self, state: &mut State) -> anyhow::Result<()> {
        state.fulfillments = all_pages!(
            &self.warehouse,
            "/vitrine.fulfillment.v1.FulfillmentService/ListFulfillments",
            fulfillment::ListFulfillmentsRequest {
                page_size: 200,
                ..Default::default()
            },
            fulfillment::ListFulfillmentsResponse,
            fulfillments
        );
        state.shipments = all_pages!(
            &self.warehouse,
            "/vitrine.fulfillment.v1.FulfillmentService/ListShipments",
            fulfillment::ListShipmentsRequest {
                page_size: 200,
                ..Default::default()
            },
            fulfillment::ListShipmentsResponse,
            shipments
        );
        state.returns = all_pages!(
            &self.warehouse,
            "/vitrine.fulfillment.v1.ReturnService/ListReturns",
            fulfillment::ListReturnsRequest {
                page_size: 200,
                ..Default::default()
            },
            fulfillment::ListReturnsResponse,
            goods_returns
        );
        Ok(())
    }

    async fn catalogue_and_rooms(&self, world: &World, state: &mut State) -> anyhow::Result<()> {
        state.products = all_pages!(
            &self.ops,
            "/vitrine.catalog.v1.ProductService/ListProducts",
            catalog::ListProductsRequest {
                page_size: 200,
                ..Default::default()
            },
            catalog::ListProductsResponse,
            products
        );
        for room_id in &world.rooms {
            let questions = all_pages!(
                &self.ops,
                "/vitrine.room.v1.AudienceService/ListQuestions",
                room::ListQuestionsRequest {
                    room_id: room_id.clone(),
                    page_size: 200,
                    ..Default::default()
                },
                room::ListQuestionsResponse,
                questions
            );
            state.questions.extend(questions);
            let request = room::GetRoomRequest {
                room_id: room_id.clone(),
            };
            let path = "/vitrine.room.v1.RoomService/GetRoom";
            let got: room::GetRoomResponse = get(&self.ops, path, &request).await?;
            let counters = got.room.and_then(|r| r.counters).unwrap_or_default();
            state.likes.insert(room_id.clone(), counters.likes);
        }
        Ok(())
    }

    async fn order_feed(&self, state: &mut State) -> anyhow::Result<()> {
        use order::order_feed_entry::Content;
        let mut feed = Feed::new();
        let mut request = order::ListOrderFeedRequest {
            page_size: 1_000,
            ..Default::default()
        };
        for _ in 0..PAGES_MAX {
            let path = "/vitrine.order.v1.OrderFeedService/ListOrderFeed";
            let page: order::ListOrderFeedResponse = get(&self.ops, path, &request).await?;
            if page.entries.is_empty() {
                break;
            }
            feed.extend(positions(&page));
            for entry in page.entries {
                match entry.content {
                    Some(Content::OrderChanged(changed)) => {
                        let change = changed.change;
                        if let Some(order) = changed.order {
                            if change == order::OrderChange::Expired as i32 {
                                let at = entry.meta.as_ref().and_then(|m| m.commit_time);
                                let at = at.as_ref().and_then(Micros::from_proto);
                                state
                                    .expired
                                    .insert(order.order_id.clone(), at.map_or(0, |at| at.0));
                            }
                            state.changes.push((order.order_id.clone(), change));
                            state.last_word.insert(order.order_id.clone(), order);
                        }
                    }
                    Some(Content::Payment(payment)) => state.payments.push(payment),
                    _ => {}
                }
            }
            request.cursor = page.next_cursor;
        }
        state.feeds.insert("order".into(), feed);
        Ok(())
    }

    async fn other_feeds(&self, state: &mut State) -> anyhow::Result<()> {
        let feeds = &mut state.feeds;
        feeds.insert("catalog".into(), catalog_feed(&self.ops).await?);
        feeds.insert("room".into(), room_feed(&self.ops).await?);
        feeds.insert("fulfillment".into(), goods_feed(&self.ops).await?);
        for (id, caller) in &self.partners {
            feeds.insert(format!("order/{id}"), partner_feed(caller).await?);
            feeds.insert(format!("fulfillment/{id}"), goods_feed(caller).await?);
        }
        Ok(())
    }
}

/// The positions in a page: the service's, or where it shows none the partner's own.
fn positions(page: &impl driver::Page) -> Feed {
    let position = |meta: &contracts::common::v1::FeedMeta| match meta.position {
        0 => meta.partner_position,
        position => position,
    };
    page.entries()
        .into_iter()
        .map(|(meta, digest)| (position(&meta), digest))
        .collect()
}

macro_rules! feed_reader {
    ($name:ident, $path:literal, $request:ty, $response:ty) => {
        async fn $name(caller: &Caller) -> anyhow::Result<Feed> {
            let mut feed = Feed::new();
            let mut request = <$request>::default();
            request.page_size = 1_000;
            for _ in 0..PAGES_MAX {
                let page: $response = get(caller, $path, &request).await?;
                if page.entries.is_empty() {
                    break;
                }
                feed.extend(positions(&page));
                request.cursor = page.next_cursor;
            }
            Ok(feed)
        }
    };
}

feed_reader!(
    partner_feed,
    "/vitrine.order.v1.OrderFeedService/ListOrderFeed",
    order::ListOrderFeedRequest,
    order::ListOrderFeedResponse
);
feed_reader!(
    catalog_feed,
    "/vitrine.catalog.v1.CatalogFeedService/ListCatalogFeed",
    catalog::ListCatalogFeedRequest,
    catalog::ListCatalogFeedResponse
);
feed_reader!(
    goods_feed,
    "/vitrine.fulfillment.v1.FulfillmentFeedService/ListFulfillmentFeed",
    fulfillment::ListFulfillmentFeedRequest,
    fulfillment::ListFulfillmentFeedResponse
);
feed_reader!(
    room_feed,
    "/vitrine.room.v1.RoomFeedService/ListRoomFeed",
    room::ListRoomFeedRequest,
    room::ListRoomFeedResponse
);
