//! What the sale came to, by three books that nobody may trust alone: the service's counters, its orders, and what each
//! partner was told by its feed; beside them what the shoppers were answered.

use std::collections::HashSet;
use std::time::Duration;

use contracts::order::v1 as pb;

use super::super::feed::Follower;
use super::super::report::Report;
use super::super::shop::Shop;
use super::{ON_SALE, Run};

/// Orders of a page.
const PAGE: i32 = 200;
/// How long feeds may take to tell everything.
const FEED_LIMIT: Duration = Duration::from_secs(20);

/// The books, read to their ends.
struct Books<'a> {
    allotment: pb::Allotment,
    listed: HashSet<String>,
    heard: HashSet<String>,
    gaps: u64,
    paid: &'a HashSet<String>,
}

/// Reads the books and says what is wrong in them. `paid` are the orders whose payments were answered with PAID, and
/// everything had to be sold within `limit`.
pub(super) async fn check(
    run: &mut Run<'_>,
    paid: &HashSet<String>,
    followers: &[Follower],
    limit: Duration,
) -> anyhow::Result<()> {
    run.bench.say("checking the books");
    let mut books = Books {
        allotment: run.shop.allotment(ON_SALE).await?,
        listed: HashSet::new(),
        heard: HashSet::new(),
        gaps: 0,
        paid,
    };
    for (partner, listing_id) in &run.shop.articles[ON_SALE].listings {
        let confirmed = confirmed(&run.shop, *partner, listing_id).await?;
        books.listed.extend(confirmed);
    }
    let least = paid.len() / followers.len().max(1) / 2;
    let quiet = followers.iter().map(|f| f.until_quiet(least, FEED_LIMIT));
    let follow = futures::future::join_all(followers.iter().map(Follower::follow));
    tokio::select! {
        _ = futures::future::join_all(quiet) => {}
        _ = follow => {}
    }
    for follower in followers {
        let heard = follower.heard.borrow();
        books.gaps += heard.gaps;
        books.heard.extend(heard.paid.iter().cloned());
    }
    books.tell(&mut run.report);
    books.must_agree(&mut run.report, run.args.units(), limit);
    Ok(())
}

impl Books<'_> {
    fn oversold(&self) -> i64 {
        let by_orders = i64::try_from(self.listed.len()).unwrap_or(i64::MAX);
        let by_feed = i64::try_from(self.heard.len()).unwrap_or(i64::MAX);
        self.allotment.sold.max(by_orders).max(by_feed) - self.allotment.supplied
    }

    fn tell(&self, report: &mut Report) {
        let Books {
            allotment,
            listed,
            heard,
            paid,
            ..
        } = self;
        report.figure("units_supplied", allotment.supplied, "units of the sale");
        let meaning = "of them sold, by the service's counters";
        report.figure("units_sold", allotment.sold, meaning);
        let meaning = "sold beyond what there was, by the worst of three books";
        report.figure("units_oversold", self.oversold().max(0), meaning);
        report.note("units_confirmed_by_orders", listed.len());
        report.note("units_confirmed_by_feed", heard.len());
        report.note("units_confirmed_by_answers", paid.len());
    }

    fn must_agree(&self, report: &mut Report, units: i64, limit: Duration) {
        let (of, oversold) = (&self.allotment, self.oversold());
        report.must(of.supplied == units && oversold <= 0, || {
            format!("{oversold} more units were sold than there were: {of:?}")
        });
        let answered = i64::try_from(self.paid.len()).unwrap_or(i64::MAX);
        report.must(of.sold == units && answered == units, || {
            format!(
                "{units} units were to be sold within {} s; by the counters {} are sold, {} available, {} held; {answered} by the answers",
                limit.as_secs(),
                of.sold,
                of.available,
                of.held
            )
        });
        report.must(of.available + of.held + of.sold == of.supplied, || {
            format!("units are lost or made up: {of:?}")
        });
        let lost = self.paid.difference(&self.listed).count();
        report.must(lost == 0, || {
            format!("{lost} payments were answered with PAID, and their orders are not confirmed")
        });
        let (unheard, gaps) = (
            self.listed.symmetric_difference(&self.heard).count(),
            self.gaps,
        );
        report.must(unheard == 0 && gaps == 0, || {
            format!("the feeds and the orders differ in {unheard} orders, with {gaps} gaps")
        });
    }
}

/// A partner's paid orders of a listing.
async fn confirmed(shop: &Shop, partner: usize, listing_id: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListOrdersRequest {
            state: pb::OrderState::Confirmed.into(),
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let caller = &shop.partners[partner].caller;
        let page = crate::demo::client::retrying(|| {
            let (request, mut client) = (request.clone(), caller.orders());
            async move { client.list_orders(request).await }
        })
        .await
        .map_err(|status| crate::demo::client::told("the orders could not be listed", &status))?;
        let ours = |order: &pb::Order| order.lines.iter().any(|l| l.listing_id == listing_id);
        let orders = page.orders.into_iter().filter(ours);
        found.extend(orders.map(|order| order.order_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}
