//! ShowcaseService.

use ::store::Operation;
use contracts::ErrorReason;
use contracts::common::v1::Audience;
use contracts::id::{OutletId, ProductId, RoomId, ShowcaseItemId};
use contracts::room::v1::showcase_service_server::ShowcaseService;
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;
use prost::Message;
use tonic::Request;

use super::{Answer, Api, Keys, eyes, given, open, render, request_id, viewers_outlet};
use crate::model::Item;
use crate::model::showcase::ItemOrder;
use crate::ops::items::{AddItem, ExplainItem, PinItem, RemoveItem};
use crate::ops::read::{Outlet, ReadItems, Showcase, Stand};

const RANK_MAX: i64 = 100_000;

/// What every change of an item is asked with.
struct Change<'a, Q> {
    method: &'static str,
    asked: &'a Q,
    request_id: &'a str,
    item_id: &'a str,
}

/// What `$asked` asks for `$method` with.
macro_rules! a_change {
    ($method:literal, $asked:ident) => {
        Change {
            method: concat!("vitrine.room.v1.ShowcaseService/", $method),
            asked: &$asked,
            request_id: &$asked.request_id,
            item_id: &$asked.showcase_item_id,
        }
    };
}

#[tonic::async_trait]
impl ShowcaseService for Api {
    async fn add_item(&self, request: Request<AddItemRequest>) -> Answer<AddItemResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        let product_id = v.id::<ProductId>("product_id", &asked.product_id);
        v.range("rank", asked.rank, 0..=RANK_MAX);
        v.finish()?;
        let operation = AddItem {
            room_id: given(room_id)?,
            product_id: given(product_id)?,
            rank: asked.rank,
            items_max: self.config.items_per_room_max,
        };
        let keys = Keys {
            method: "vitrine.room.v1.ShowcaseService/AddItem",
            request_id,
            request: &asked,
        };
        let item = self.mutate(&caller, keys, operation, plain).await?;
        Ok(AddItemResponse { item: Some(item) }.into())
    }

    async fn remove_item(&self, request: Request<RemoveItemRequest>) -> Answer<RemoveItemResponse> {
        let (caller, asked) = open(request)?;
        let operation = |item_id| RemoveItem { item_id };
        let change = a_change!("RemoveItem", asked);
        Ok(self
            .change_item(&caller, change, operation, |()| RemoveItemResponse {})
            .await?
            .into())
    }

    async fn pin_item(&self, request: Request<PinItemRequest>) -> Answer<PinItemResponse> {
        let (caller, asked) = open(request)?;
        let operation = |item_id| PinItem { item_id, pin: true };
        let item = self
            .change_item(&caller, a_change!("PinItem", asked), operation, plain)
            .await?;
        Ok(PinItemResponse { item: Some(item) }.into())
    }

    async fn unpin_item(&self, request: Request<UnpinItemRequest>) -> Answer<UnpinItemResponse> {
        let (caller, asked) = open(request)?;
        let operation = |item_id| PinItem {
            item_id,
            pin: false,
        };
        let item = self
            .change_item(&caller, a_change!("UnpinItem", asked), operation, plain)
            .await?;
        Ok(UnpinItemResponse { item: Some(item) }.into())
    }

    async fn start_explaining(
        &self,
        request: Request<StartExplainingRequest>,
    ) -> Answer<StartExplainingResponse> {
        let (caller, asked) = open(request)?;
        let operation = |item_id| ExplainItem {
            item_id,
            start: true,
            listings_max: i64::from(self.config.listings_per_room_max),
        };
        let item = self
            .change_item(
                &caller,
                a_change!("StartExplaining", asked),
                operation,
                plain,
            )
            .await?;
        Ok(StartExplainingResponse { item: Some(item) }.into())
    }

    async fn stop_explaining(
        &self,
        request: Request<StopExplainingRequest>,
    ) -> Answer<StopExplainingResponse> {
        let (caller, asked) = open(request)?;
        let operation = |item_id| ExplainItem {
            item_id,
            start: false,
            listings_max: i64::from(self.config.listings_per_room_max),
        };
        let item = self
            .change_item(
                &caller,
                a_change!("StopExplaining", asked),
                operation,
                plain,
            )
            .await?;
        Ok(StopExplainingResponse { item: Some(item) }.into())
    }

    async fn list_items(&self, request: Request<ListItemsRequest>) -> Answer<ListItemsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        let outlet = v.opt_id::<OutletId>("outlet_id", &asked.outlet_id);
        v.finish()?;
        let room_id = given(room_id)?;
        let outlet = match caller.audience {
            Audience::Viewer if caller.room_id != Some(room_id) => {
                return Err(Refusal::not_found("room").into());
            }
            Audience::Viewer => viewers_outlet(&caller, outlet)?,
            _ => outlet.map_or(Outlet::First, Outlet::Named),
        };
        let query = ["ListItems", &asked.room_id, &asked.outlet_id];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let stand = Stand {
            room_id,
            eyes: eyes(&caller)?,
            outlet,
        };
        let listings_max = i64::from(self.config.listings_per_room_max);
        let shown = self
            .read(
                &caller,
                ReadItems {
                    stand,
                    listings_max,
                },
            )
            .await?;
        Ok(items_page(&page, shown)?.into())
    }
}

impl Api {
    /// Changes an item once for a key.
    async fn change_item<Q: Message, O: Operation, R: Message + Default + 'static>(
        &self,
        caller: &Caller,
        asked: Change<'_, Q>,
        operation: impl FnOnce(ShowcaseItemId) -> O,
        render: impl Fn(&O::Output) -> R + Send + Sync + 'static,
    ) -> Result<R, Fault> {
        let mut v = Violations::new();
        let request_id = request_id(&mut v, asked.request_id);
        let item_id = v.id::<ShowcaseItemId>("showcase_item_id", asked.item_id);
        v.finish()?;
        let keys = Keys {
            method: asked.method,
            request_id,
            request: asked.asked,
        };
        self.mutate(caller, keys, operation(given(item_id)?), render)
            .await
    }
}

/// An item as the retailer sees it, who looks from no outlet: what it can be bought as is asked for with ListItems.
fn plain(item: &Item) -> ShowcaseItem {
    render::item(item, &[])
}

/// Cuts a showcase, which is short, to a page.
fn items_page(page: &Page, shown: Showcase) -> Result<ListItemsResponse, Refusal> {
    let Showcase {
        view,
        items,
        assortment,
        now,
    } = shown;
    let after = page.after_key(3)?.map(order_of).transpose()?;
    let left = items
        .into_iter()
        .filter(|item| after.is_none_or(|after| item.order() > after));
    let left: Vec<Item> = left.take(page.size as usize + 1).collect();
    let (items, next_page_token) = page.cut(left, |item| {
        let (unpinned, rank, id) = item.order();
        vec![
            u8::from(unpinned).to_string(),
            rank.to_string(),
            id.to_string(),
        ]
    });
    let items = items.iter().map(|item| {
        let offers = view
            .place
            .map(|place| assortment.offers(item.product_id, place.partner_id, now));
        render::item(item, &offers.unwrap_or_default())
    });
    Ok(ListItemsResponse {
        items: items.collect(),
        next_page_token,
    })
}

fn order_of(key: &[String]) -> Result<ItemOrder, Refusal> {
    let bad = || {
        Refusal::new(
            ErrorReason::BadPageToken,
            "The page_token is not one of this list; begin again without it.",
        )
    };
    let [unpinned, rank, id] = key else {
        return Err(bad());
    };
    let (rank, id) = (
        rank.parse().map_err(|_| bad())?,
        id.parse().map_err(|_| bad())?,
    );
    Ok((unpinned == "1", rank, id))
}
