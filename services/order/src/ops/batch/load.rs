//! Everything a batch may touch: keys first and without locks, then the locks, then what they protect.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ::store::Tx;
use contracts::id::{AllotmentId, DropId, ListingId, OrderId};
use kit::errors::Fault;

use crate::model::book::{Book, Count, KeyName, OrderSlot, PlaceKey, ShopperKey, Tracked};
use crate::model::command::{Command, Place, StopTarget};
use crate::model::{OrderState, Placement};
use crate::ops::agreed::Agreed;
use crate::store::persons::ShopperName;
use crate::store::stock::DropLine;
use crate::store::{drops as store_drops, persons as store_persons};
use crate::store::{key, listing, order, payment, stock, stop, supply};

/// Fills the book. The answer says for each command whether its key was found taken: it only reads then.
pub(super) async fn load(
    tx: &mut Tx,
    book: &mut Book,
    agreed: &Agreed,
    commands: &[&Command],
) -> Result<Vec<bool>, Fault> {
    let (answered, placements) = keys(tx, book, agreed, commands).await?;
    let open: Vec<&Command> = commands
        .iter()
        .zip(&answered)
        .filter(|(_, answered)| !**answered)
        .map(|(command, _)| *command)
        .collect();
    lock(tx, book, &open, &placements).await?;
    listings(tx, book, &open).await?;
    counters(tx, book, &open).await?;
    Ok(answered)
}

/// Fills the book for a look at what a placement would be, without locks: nothing may be decided by it.
pub(in crate::ops) async fn look(
    tx: &mut Tx,
    book: &mut Book,
    placement: &Command,
) -> Result<(), Fault> {
    listings(tx, book, &[placement]).await?;
    let ids: BTreeSet<AllotmentId> = book
        .assignments
        .values()
        .map(|found| found.allotment_id)
        .collect();
    for allotment_id in ids {
        if let Some(stock) = supply::supply_by_id(tx, &allotment_id).await? {
            book.stocks.insert(allotment_id, Tracked::new(stock));
        }
    }
    counters(tx, book, &[placement]).await
}

type Placements = BTreeMap<OrderId, Arc<Placement>>;

/// Looks up every key of the batch, and what was agreed for the orders they lead to and the commands name.
async fn keys(
    tx: &mut Tx,
    book: &mut Book,
    agreed: &Agreed,
    commands: &[&Command],
) -> Result<(Vec<bool>, Placements), Fault> {
    let place_keys: Vec<PlaceKey> = commands
        .iter()
        .filter_map(|command| place_key(command))
        .collect();
    let placed = key::orders_by_key(tx, &distinct(&place_keys)).await?;

    let names: Vec<KeyName> = commands
        .iter()
        .filter_map(|command| key_name(command))
        .collect();
    let methods: HashMap<&str, &'static str> = names.iter().map(|name| (name.1, name.1)).collect();
    for (scope, method, key, fingerprint, response) in
        key::request_keys(tx, &distinct(&names)).await?
    {
        let Some(method) = methods.get(method.as_str()) else {
            continue;
        };
        let fingerprint = <[u8; 32]>::try_from(fingerprint)
            .map_err(|_| Fault::internal("idempotency.fingerprint has not 32 bytes"))?;
        book.keys
            .insert((scope, method, key), (fingerprint, response));
    }

    let references: BTreeSet<(OrderId, &str)> = commands
        .iter()
        .filter_map(|command| reference(command))
        .collect();
    let references: Vec<_> = references.into_iter().collect();
    for payment in payment::payments_by_reference(tx, &references).await? {
        book.payments.insert(
            (payment.order_id, payment.payment_reference.clone()),
            Arc::new(payment),
        );
    }

    let named = commands
        .iter()
        .filter_map(|command| command.order_id().copied());
    let ids: BTreeSet<OrderId> = placed.iter().copied().chain(named).collect();
    let placements = placements_of(tx, agreed, ids).await?;
    for placement in placed
        .iter()
        .filter_map(|order_id| placements.get(order_id))
    {
        book.placed.insert(
            (placement.partner_id, placement.partner_order_id.clone()),
            placement.clone(),
        );
    }
    let answered = commands
        .iter()
        .map(|command| is_answered(book, command))
        .collect();
    Ok((answered, placements))
}

/// What was agreed for orders: from memory, or read.
async fn placements_of(
    tx: &mut Tx,
    agreed: &Agreed,
    ids: BTreeSet<OrderId>,
) -> Result<Placements, Fault> {
    let mut placements = Placements::new();
    let mut unknown = Vec::new();
    for order_id in ids {
        match agreed.of(&order_id) {
            Some(placement) => {
                placements.insert(order_id, placement);
            }
            None => unknown.push(order_id),
        }
    }
    // What is read is not kept: on SQLite it may be of a unit whose commit is still to come.
    let read = order::placements_by_id(tx, &unknown).await?;
    placements.extend(
        read.into_iter()
            .map(|placement| (placement.order_id, placement)),
    );
    Ok(placements)
}

fn place_key(command: &Command) -> Option<PlaceKey> {
    match command {
        Command::Place(place) => Some((place.partner_id, place.partner_order_id.clone())),
        _ => None,
    }
}

fn key_name(command: &Command) -> Option<KeyName> {
    command
        .request_key()
        .map(|key| (key.scope.clone(), key.method, key.key.clone()))
}

fn reference<'a>(command: &&'a Command) -> Option<(OrderId, &'a str)> {
    match command {
        Command::Confirm(confirm) => Some((confirm.order_id, confirm.payment_reference.as_str())),
        _ => None,
    }
}

fn distinct<T: Ord>(keys: &[T]) -> Vec<&T> {
    keys.iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_answered(book: &Book, command: &Command) -> bool {
    if let Some(key) = place_key(command) {
        return book.placed.contains_key(&key);
    }
    if let Some((order_id, reference)) = reference(&command) {
        return book
            .payments
            .contains_key(&(order_id, reference.to_owned()));
    }
    key_name(command).is_some_and(|name| book.keys.contains_key(&name))
}

/// Takes every lock: allotments, then orders, then stops, each in the order of ids.
async fn lock(
    tx: &mut Tx,
    book: &mut Book,
    open: &[&Command],
    placements: &Placements,
) -> Result<(), Fault> {
    let wanted: BTreeSet<OrderId> = open
        .iter()
        .filter_map(|command| command.order_id().copied())
        .collect();
    let wanted: Vec<Arc<Placement>> = wanted
        .iter()
        .filter_map(|order_id| placements.get(order_id))
        .cloned()
        .collect();

    let mut allotments: BTreeSet<AllotmentId> = wanted
        .iter()
        .flat_map(|placement| placement.lines.iter().map(|line| line.allotment_id))
        .collect();
    let listings: BTreeSet<ListingId> = places(open).flat_map(listings_of).collect();
    let listings: Vec<ListingId> = listings.into_iter().collect();
    let drawn = listing::allotments_of_listings(tx, &listings).await?;
    allotments.extend(drawn.into_iter().map(|(_, allotment_id)| allotment_id));
    for command in open {
        match command {
            Command::Move(command) => {
                allotments.insert(command.allotment_id);
            }
            Command::Stop(command) => {
                if let Some(stopped) = stop::stop_target(tx, &command.target).await? {
                    book.stop_targets.insert(command.target.clone());
                    allotments.extend(stopped);
                }
            }
            _ => {}
        }
    }

    let allotments: Vec<AllotmentId> = allotments.into_iter().collect();
    for stock in stock::allotments_lock(tx, &allotments).await? {
        book.stocks.insert(stock.allotment_id, Tracked::new(stock));
    }
    for order in order::orders_lock(tx, wanted).await? {
        book.orders.insert(
            *order.order_id(),
            OrderSlot {
                loaded_version: Some(order.version),
                order,
            },
        );
    }
    let stops: BTreeSet<_> = open.iter().filter_map(|command| resumed(command)).collect();
    let stops: Vec<_> = stops.into_iter().collect();
    for (stop_id, found) in stop::stops_lock(tx, &stops).await? {
        book.stops.insert(stop_id, found);
    }
    Ok(())
}

fn resumed(command: &Command) -> Option<contracts::id::StopId> {
    match command {
        Command::Resume(resume) => Some(resume.stop_id),
        _ => None,
    }
}

fn places<'a>(open: &'a [&'a Command]) -> impl Iterator<Item = &'a Place> {
    open.iter().filter_map(|command| match command {
        Command::Place(place) => Some(&**place),
        _ => None,
    })
}

fn listings_of(place: &Place) -> impl Iterator<Item = ListingId> {
    place.lines.iter().map(|line| line.listing_id)
}

/// Reads the listings and what they draw from, under the locks.
async fn listings(tx: &mut Tx, book: &mut Book, open: &[&Command]) -> Result<(), Fault> {
    let late = late_payments(book, open);
    let placed: BTreeSet<ListingId> = places(open).flat_map(listings_of).collect();
    let again = late
        .iter()
        .flat_map(|placement| placement.lines.iter().map(|line| line.listing_id));
    let listings: BTreeSet<ListingId> = placed.into_iter().chain(again).collect();
    let listings: Vec<ListingId> = listings.into_iter().collect();
    for (listing, assignment) in listing::listings_by_id(tx, &listings).await? {
        book.listings.insert(listing.listing_id, Arc::new(listing));
        if let Some(assignment) = assignment {
            book.add_assignment(assignment);
        }
    }
    let moved: BTreeSet<AllotmentId> = open.iter().filter_map(|command| moved(command)).collect();
    let moved: Vec<AllotmentId> = moved.into_iter().collect();
    for assignment in listing::assignments_by_allotment(tx, &moved).await? {
        book.add_assignment(assignment);
    }
    Ok(())
}

/// Reads what counts units and what stops sales, under the locks.
async fn counters(tx: &mut Tx, book: &mut Book, open: &[&Command]) -> Result<(), Fault> {
    let late = late_payments(book, open);
    let placed: BTreeSet<ListingId> = places(open).flat_map(listings_of).collect();
    drops(tx, book, placed.into_iter().collect(), &late).await?;
    persons(tx, book, open).await?;
    shoppers(tx, book, open, &late).await?;
    stops(tx, book, open).await
}

fn moved(command: &Command) -> Option<AllotmentId> {
    match command {
        Command::Move(command) => Some(command.allotment_id),
        _ => None,
    }
}

/// Orders whose units a payment may have to take again: those that expired, and those that may in this batch.
fn late_payments(book: &Book, open: &[&Command]) -> Vec<Arc<Placement>> {
    let expiring: BTreeSet<OrderId> = open
        .iter()
        .filter_map(|command| match command {
            Command::Expire(expire) => Some(expire.order_id),
            _ => None,
        })
        .collect();
    let mut late = BTreeMap::new();
    for command in open {
        let Command::Confirm(confirm) = command else {
            continue;
        };
        let Some(slot) = book.orders.get(&confirm.order_id) else {
            continue;
        };
        if slot.order.state == OrderState::Expired || expiring.contains(&confirm.order_id) {
            late.insert(confirm.order_id, slot.order.placement.clone());
        }
    }
    late.into_values().collect()
}

async fn drops(
    tx: &mut Tx,
    book: &mut Book,
    placed: Vec<ListingId>,
    late: &[Arc<Placement>],
) -> Result<(), Fault> {
    let again: BTreeSet<(DropId, ListingId)> = late
        .iter()
        .flat_map(|placement| {
            placement
                .lines
                .iter()
                .filter_map(|line| Some((line.drop_id?, line.listing_id)))
        })
        .collect();
    let again: Vec<_> = again.into_iter().collect();
    for line in stock::drops_of_lines(tx, &again).await? {
        enter_drop(book, line);
    }
    for line in stock::drops_ahead(tx, &placed).await? {
        book.listing_drops
            .entry(line.listing_id)
            .or_default()
            .push(line.sale.drop_id);
        enter_drop(book, line);
    }
    // Most drops have no quotas, and then there is nothing to ask for.
    let divided = book.drops.values().filter(|sale| sale.quota_total > 0);
    let divided: Vec<DropId> = divided.map(|sale| sale.drop_id).collect();
    for (drop_id, quota) in store_drops::quotas_by_drop(tx, &divided).await? {
        book.add_quota(drop_id, quota);
    }
    Ok(())
}

fn enter_drop(book: &mut Book, line: DropLine) {
    let key = (line.sale.drop_id, line.listing_id);
    book.drop_listing_counts
        .entry(key)
        .or_insert(Count::new(line.taken));
    if let Some(price) = line.price {
        book.drop_prices.insert(key, price);
    }
    book.add_drop(line.sale);
}

/// What of a placement counts by person now: the ids of its allotments and open drops with a limit.
fn scopes_by_person<'a>(book: &'a Book, place: &'a Place) -> impl Iterator<Item = &'a str> {
    listings_of(place).flat_map(|listing_id| {
        let sale = book.selling(&listing_id).sale();
        let sale = sale.filter(|sale| sale.per_person_limit > 0);
        let assignment = book.assignments.get(&listing_id);
        let stock = assignment.and_then(|drawn| book.stocks.get(&drawn.allotment_id));
        let stock = stock.filter(|stock| stock.now.per_person_limit > 0);
        let drop_id = sale.map(|sale| sale.drop_id.as_str());
        drop_id
            .into_iter()
            .chain(stock.map(|stock| stock.now.allotment_id.as_str()))
    })
}

/// Who the shoppers are, where something counts by person.
async fn persons(tx: &mut Tx, book: &mut Book, open: &[&Command]) -> Result<(), Fault> {
    if !book.rules.person_limits {
        return Ok(());
    }
    let counted = places(open).filter(|place| scopes_by_person(book, place).next().is_some());
    let shoppers: BTreeSet<ShopperName<'_>> = counted
        .map(|place| (place.partner_id, place.shopper_ref.as_str()))
        .collect();
    let shoppers: Vec<ShopperName<'_>> = shoppers.into_iter().collect();
    book.persons
        .extend(store_persons::persons_of(tx, &shoppers).await?);
    Ok(())
}

async fn shoppers(
    tx: &mut Tx,
    book: &mut Book,
    open: &[&Command],
    late: &[Arc<Placement>],
) -> Result<(), Fault> {
    let mut keys = BTreeSet::new();
    for place in places(open) {
        let shopper = |scope: &str| ShopperKey::new(scope, place.partner_id, &place.shopper_ref);
        keys.extend(listings_of(place).map(|listing_id| shopper(listing_id.as_str())));
        let name = (place.partner_id, place.shopper_ref.clone());
        for scope in scopes_by_person(book, place) {
            keys.insert(shopper(scope));
            let person = book.persons.get(&name);
            keys.extend(person.map(|person| ShopperKey::of_person(scope, person)));
        }
    }
    for placement in late {
        for line in &placement.lines {
            let drop_id = line.drop_id.as_ref().map(|id| id.as_str());
            let scopes = [line.listing_id.as_str(), line.allotment_id.as_str()];
            for scope in scopes.into_iter().chain(drop_id) {
                let (partner_id, shopper_ref) = (placement.partner_id, &placement.shopper_ref);
                keys.insert(ShopperKey::new(scope, partner_id, shopper_ref));
                let person = line.draws.person.as_deref();
                keys.extend(person.map(|person| ShopperKey::of_person(scope, person)));
            }
        }
    }
    let keys: Vec<ShopperKey> = keys.into_iter().collect();
    let found = stock::shopper_counts(tx, &keys).await?;
    book.shopper_counts
        .extend(keys.into_iter().map(|key| (key, Count::ABSENT)));
    for (key, taken) in found {
        book.shopper_counts.insert(key, Count::new(taken));
    }
    Ok(())
}

async fn stops(tx: &mut Tx, book: &mut Book, open: &[&Command]) -> Result<(), Fault> {
    let mut targets: BTreeSet<StopTarget> = BTreeSet::new();
    for listing_id in places(open).flat_map(listings_of) {
        targets.insert(StopTarget::Listing(listing_id));
        targets.extend(
            book.assignments
                .get(&listing_id)
                .map(|found| StopTarget::Allotment(found.allotment_id)),
        );
        targets.extend(
            book.listings
                .get(&listing_id)
                .map(|found| StopTarget::Product(found.product_id)),
        );
    }
    for command in open {
        let Command::Confirm(confirm) = command else {
            continue;
        };
        let Some(slot) = book.orders.get(&confirm.order_id) else {
            continue;
        };
        for line in &slot.order.placement.lines {
            targets.insert(StopTarget::Listing(line.listing_id));
            targets.insert(StopTarget::Allotment(line.allotment_id));
            targets.insert(StopTarget::Product(line.product_id));
        }
    }
    let targets: Vec<&str> = targets.iter().map(StopTarget::id).collect();
    for (stop_id, found) in stop::stops_of_targets(tx, &targets).await? {
        book.add_stop(stop_id, found.target);
    }
    Ok(())
}
