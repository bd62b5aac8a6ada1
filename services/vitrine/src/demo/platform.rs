//! A partner platform as the demo plays it: charges shoppers, signs payment statements, follows its own feed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::common::v1::Money;
use contracts::order::v1 as pb;
use kit::auth::{SigningKey, jws};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Caller;
use super::warehouse::lock;
use crate::token::STATEMENT_TYPE;

/// The `typ` of refund statements.
const REFUND_STATEMENT_TYPE: &str = "vitrine-refund+jwt";
/// The `typ` of statements about compensations.
const COMPENSATION_STATEMENT_TYPE: &str = "vitrine-compensation+jwt";
/// The `typ` of statements about chargebacks.
const CHARGEBACK_STATEMENT_TYPE: &str = "vitrine-chargeback+jwt";

/// The key that a platform signs payment statements with.
#[derive(Clone)]
pub struct PaymentKey {
    pub kid: String,
    pub public_jwk: String,
    key: SigningKey,
}

/// What a platform says it charged.
#[derive(Clone, Debug)]
pub struct Charge {
    pub order_id: String,
    pub payment_reference: String,
    pub minor_units: i64,
    pub currency_code: String,
    /// Seconds since 1970 UTC.
    pub paid_at: i64,
}

impl PaymentKey {
    /// A new key for one platform.
    pub fn generate() -> PaymentKey {
        let key = SigningKey::generate();
        PaymentKey {
            kid: key.kid().to_owned(),
            public_jwk: key.public_jwk().to_string(),
            key,
        }
    }

    /// The statement for a charge: a compact JWS.
    pub fn statement(&self, charge: &Charge) -> String {
        let claims = serde_json::json!({
            "order_id": charge.order_id,
            "kind": "CHARGE",
            "minor_units": charge.minor_units,
            "currency_code": charge.currency_code,
            "payment_reference": charge.payment_reference,
            "paid_at": charge.paid_at,
        });
        jws::sign(&self.key, STATEMENT_TYPE, claims.to_string().as_bytes())
    }

    /// The statement that a refund was executed, or why it was not: a compact JWS.
    pub fn refund_statement(&self, refund: &pb::Refund, failure: Option<&str>) -> String {
        let units = |money: &Option<contracts::common::v1::Money>| {
            money.as_ref().map_or(0, |m| m.minor_units)
        };
        let currency = refund.shopper_amount.as_ref().map(|m| &m.currency_code);
        let mut claims = serde_json::json!({
            "aud": "vitrine",
            "kind": if failure.is_some() { "REFUND_FAILED" } else { "REFUND_EXECUTED" },
            "order_id": refund.order_id,
            "refund_id": refund.refund_id,
            "shopper_minor_units": units(&refund.shopper_amount),
            "partner_minor_units": units(&refund.partner_amount),
            "currency_code": currency,
            "refund_reference": format!("back-{}-{}", refund.refund_id, refund.attempt),
            // Not the time now, so that a repetition says the very same.
            "reported_at": refund.create_time.map_or(0, |t| t.seconds),
        });
        if let Some(failure) = failure {
            claims["failure"] = failure.into();
        }
        self.sign(REFUND_STATEMENT_TYPE, &claims)
    }

    /// The statement that the platform has paid something back first, out of goodwill and at its own cost.
    pub fn goodwill_statement(&self, order_id: &str, given: Money, reference: &str) -> String {
        let claims = serde_json::json!({
            "aud": "vitrine",
            "kind": "PARTNER_REFUND",
            "order_id": order_id,
            "shopper_minor_units": given.minor_units,
            "partner_minor_units": 0,
            "currency_code": given.currency_code,
            "refund_reference": reference,
            "reason": "GOODWILL",
            "cost_bearer": "PARTNER",
            "reported_at": super::now_proto().seconds,
        });
        self.sign(REFUND_STATEMENT_TYPE, &claims)
    }

    /// The statement that a compensation was paid.
    pub fn compensation_statement(&self, made: &pb::Compensation) -> String {
        let amount = made.amount.clone().unwrap_or_default();
        let claims = serde_json::json!({
            "aud": "vitrine",
            "kind": "COMPENSATION_EXECUTED",
            "order_id": made.order_id,
            "compensation_id": made.compensation_id,
            "minor_units": amount.minor_units,
            "currency_code": amount.currency_code,
            "compensation_reference": format!("damages-{}", made.compensation_id),
            "reported_at": made.create_time.map_or(0, |t| t.seconds),
        });
        self.sign(COMPENSATION_STATEMENT_TYPE, &claims)
    }

    /// The statement that a bank took a payment back, or decided on it.
    pub fn chargeback_statement(
        &self,
        kind: &str,
        order_id: &str,
        payment_reference: &str,
        taken: Money,
    ) -> String {
        let claims = serde_json::json!({
            "aud": "vitrine",
            "kind": kind,
            "order_id": order_id,
            "payment_reference": payment_reference,
            "chargeback_reference": format!("bank-{payment_reference}"),
            "minor_units": taken.minor_units,
            "currency_code": taken.currency_code,
            "reported_at": super::now_proto().seconds,
        });
        self.sign(CHARGEBACK_STATEMENT_TYPE, &claims)
    }

    fn sign(&self, typ: &str, claims: &serde_json::Value) -> String {
        jws::sign(&self.key, typ, claims.to_string().as_bytes())
    }
}

/// What a platform says it paid back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidBack {
    pub refund_id: String,
    pub order_id: String,
    pub shopper_minor_units: i64,
    pub partner_minor_units: i64,
}

/// A platform's books: what it charged, by payment reference, and what it paid back. Kept apart from anything the suite
/// says.
#[derive(Default)]
pub struct Books {
    charges: Mutex<BTreeMap<String, Charge>>,
    paid_back: Mutex<Vec<PaidBack>>,
}

impl Books {
    pub fn note(&self, charge: &Charge) {
        lock(&self.charges).insert(charge.payment_reference.clone(), charge.clone());
    }

    pub fn note_paid_back(&self, paid_back: PaidBack) {
        lock(&self.paid_back).push(paid_back);
    }

    pub fn paid_back(&self) -> Vec<PaidBack> {
        lock(&self.paid_back).clone()
    }

    pub fn charges(&self) -> Vec<Charge> {
        lock(&self.charges).values().cloned().collect()
    }
}

/// What a platform knows of its orders from its own feed.
#[derive(Default)]
pub struct Known {
    pub states: HashMap<String, pb::Order>,
    pub refunds: HashMap<String, pb::Refund>,
}

/// Follows a platform's feed; a broken stream goes on from the last cursor.
pub struct Follower {
    known: Arc<Mutex<Known>>,
    seen: watch::Receiver<u64>,
}

impl Follower {
    /// Begins to follow from a cursor until the token is cancelled.
    pub fn start(caller: Caller, mut cursor: String, over: CancellationToken) -> Follower {
        let known = Arc::new(Mutex::new(Known::default()));
        let (tell, seen) = watch::channel(0_u64);
        let book = known.clone();
        kit::spawn("demo partner feed", async move {
            while !over.is_cancelled() {
                let request = pb::WatchOrderFeedRequest {
                    cursor: cursor.clone(),
                };
                if let Ok(stream) = caller.order_feed().watch_order_feed(request).await {
                    let mut stream = stream.into_inner();
                    loop {
                        let message = tokio::select! {
                            message = stream.message() => message,
                            () = over.cancelled() => return,
                        };
                        let Ok(Some(page)) = message else { break };
                        let mut known = lock(&book);
                        for entry in page.entries {
                            if let Some(meta) = entry.meta {
                                cursor = meta.cursor;
                            }
                            known.apply(entry.content);
                        }
                        drop(known);
                        tell.send_modify(|n| *n += 1);
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Follower { known, seen }
    }

    /// The refunds that the platform has been told of, as they are now.
    pub fn refunds(&self) -> Vec<pb::Refund> {
        let mut refunds: Vec<_> = lock(&self.known).refunds.values().cloned().collect();
        refunds.sort_by(|a, b| a.refund_id.cmp(&b.refund_id));
        refunds
    }

    /// Waits until what is known passes, at most `limit`.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        passes: impl Fn(&Known) -> bool,
    ) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        let wait = async {
            loop {
                seen.borrow_and_update();
                if passes(&lock(&self.known)) {
                    return;
                }
                if seen.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(limit, wait).await.map_err(|_| {
            anyhow::anyhow!(
                "the partner's feed did not show within {} s that {what}",
                limit.as_secs()
            )
        })
    }
}

impl Known {
    fn apply(&mut self, content: Option<pb::order_feed_entry::Content>) {
        use pb::order_feed_entry::Content;
        match content {
            Some(Content::OrderChanged(changed)) => {
                if let Some(order) = changed.order {
                    self.states.insert(order.order_id.clone(), order);
                }
            }
            Some(Content::Refund(refund)) => {
                self.refunds.insert(refund.refund_id.clone(), refund);
            }
            _ => {}
        }
    }
}
