//! Looks at the tables from outside: every row as text, and whether units, limits and money add up.

use kit::errors::Fault;
use store::{Operation, Tx, sql};

/// Every table that the desk writes, as text, the same on both engines.
pub struct Dump;

impl Operation for Dump {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "test.dump"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<String>, Fault> {
        let mut rows = Vec::new();
        macro_rules! table {
            ($name:literal, $($column:literal),+) => {{
                const TEXT: &str = concat!(
                    "SELECT CAST('' AS TEXT)", $(" || '|' || COALESCE(CAST(", $column, " AS TEXT), '~')",)+
                    " FROM ", $name, " ORDER BY 1"
                );
                let found = sql!(tx, all (String,), TEXT)?;
                rows.extend(found.into_iter().map(|(row,)| format!("{} {row}", $name)));
            }};
        }
        table!(
            "allotment",
            "allotment_id",
            "supplied",
            "available",
            "held",
            "sold",
            "version"
        );
        table!(
            "allotment_movement",
            "movement_id",
            "allotment_id",
            "kind",
            "quantity",
            "reason",
            "actor",
            "create_time"
        );
        table!(
            "allotment_listing",
            "listing_id",
            "allotment_id",
            "unit_cap",
            "taken"
        );
        table!("drop_sale", "drop_id", "taken", "version", "ended_time");
        table!("drop_listing", "drop_id", "listing_id", "taken");
        table!("drop_quota", "drop_id", "owner", "unit_limit", "taken");
        // A counter at nothing is the same as none.
        table!(
            "shopper_count WHERE taken <> 0",
            "scope",
            "partner_id",
            "shopper_ref",
            "taken"
        );
        table!(
            "sale_stop",
            "stop_id",
            "target_kind",
            "target_id",
            "reason",
            "actor",
            "create_time",
            "ended_time",
            "ended_by"
        );
        table!(
            "orders",
            "order_id",
            "partner_id",
            "partner_order_id",
            "shopper_ref",
            "currency_code",
            "payable",
            "tax",
            "commission",
            "placed_hold_end",
            "place_time",
            "state",
            "payment_state",
            "hold_expire_time",
            "pay_time",
            "ship_not_before",
            "ship_by",
            "cancel_reason",
            "refund_due",
            "version",
            "update_time"
        );
        table!(
            "order_line",
            "order_id",
            "line_number",
            "order_line_id",
            "listing_id",
            "allotment_id",
            "terms_version",
            "price",
            "payable",
            "tax",
            "commission",
            "drop_id",
            "touchpoints",
            "price_source",
            "drop_quota",
            "person",
            "ordered",
            "cancelled",
            "refunded"
        );
        table!(
            "payment",
            "payment_id",
            "order_id",
            "payment_reference",
            "currency_code",
            "amount",
            "partner_amount",
            "refunded",
            "outcome",
            "refund_id",
            "refund_reason",
            "pay_time",
            "record_time"
        );
        table!(
            "refund",
            "refund_id",
            "order_id",
            "payment_id",
            "reason",
            "currency_code",
            "shopper_amount",
            "partner_amount",
            "state",
            "lines",
            "create_time",
            "version"
        );
        table!("feed_head", "scope", "position");
        let keys = sql!(
            tx,
            all(String, Vec<u8>, Vec<u8>),
            "SELECT method || ' ' || key, fingerprint, response FROM idempotency ORDER BY method, key"
        )?;
        rows.extend(
            keys.into_iter()
                .map(|(key, print, answer)| format!("key {key} {print:?} {answer:?}")),
        );
        let feed = sql!(
            tx,
            all(i64, String, i64, String, String, String, Vec<u8>),
            "SELECT position, partner_id, partner_position, aggregate_id, kind, etag, payload FROM feed ORDER BY position"
        )?;
        rows.extend(feed.into_iter().map(|row| format!("feed {row:?}")));
        let audit = sql!(
            tx,
            all(i64, String, String, String, Vec<u8>),
            "SELECT position, action, resource_id, outcome, hash FROM audit ORDER BY position"
        )?;
        rows.extend(audit.into_iter().map(|row| format!("audit {row:?}")));
        Ok(rows)
    }
}

/// Everything that has to hold after every step; each answers the rows where it does not.
pub struct Check;

/// Units of lines that are held or sold.
macro_rules! taken {
    ($($and:literal)?) => {
        concat!(
            "(SELECT COALESCE(CAST(SUM(l.ordered - l.cancelled) AS BIGINT), 0) FROM order_line AS l ",
            "JOIN orders AS o ON o.order_id = l.order_id ",
            "WHERE (o.state = 'PENDING_PAYMENT' OR o.pay_time IS NOT NULL) ", $($and,)? ")"
        )
    };
}

impl Operation for Check {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "test.check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<String>, Fault> {
        let mut wrong = Vec::new();
        macro_rules! none {
            ($what:literal, $text:expr) => {{
                const TEXT: &str = $text;
                let found = sql!(tx, all(String,), TEXT)?;
                wrong.extend(found.into_iter().map(|(row,)| format!("{}: {row}", $what)));
            }};
        }
        none!(
            "supplied is the sum of movements",
            "SELECT allotment_id FROM allotment AS a WHERE supplied <> (SELECT COALESCE(CAST(SUM(quantity) AS BIGINT), 0) \
             FROM allotment_movement AS m WHERE m.allotment_id = a.allotment_id)"
        );
        none!(
            "every unit is somewhere",
            "SELECT allotment_id FROM allotment WHERE available + held + sold <> supplied OR available < 0"
        );
        none!(
            "held units are those of pending orders",
            concat!(
                "SELECT a.allotment_id FROM allotment AS a WHERE a.held <> ",
                taken!("AND l.allotment_id = a.allotment_id AND o.state = 'PENDING_PAYMENT'")
            )
        );
        none!(
            "held and sold units are those of lines",
            concat!(
                "SELECT a.allotment_id FROM allotment AS a WHERE a.held + a.sold <> ",
                taken!("AND l.allotment_id = a.allotment_id")
            )
        );
        none!(
            "a listing counts its lines",
            concat!(
                "SELECT a.listing_id FROM allotment_listing AS a WHERE a.taken <> ",
                taken!("AND l.listing_id = a.listing_id")
            )
        );
        none!(
            "a drop counts its lines",
            concat!(
                "SELECT d.drop_id FROM drop_sale AS d WHERE d.taken <> ",
                taken!("AND l.drop_id = d.drop_id")
            )
        );
        none!(
            "a drop's listing counts its lines",
            concat!(
                "SELECT d.drop_id FROM drop_listing AS d WHERE d.taken <> ",
                taken!("AND l.drop_id = d.drop_id AND l.listing_id = d.listing_id")
            )
        );
        none!(
            "a shopper's counter counts their lines",
            concat!(
                "SELECT s.scope || ' ' || s.shopper_ref FROM shopper_count AS s WHERE s.taken <> ",
                taken!(
                    "AND CASE WHEN l.listing_id = s.scope \
                     THEN o.partner_id = s.partner_id AND o.shopper_ref = s.shopper_ref \
                     WHEN l.drop_id = s.scope OR (l.allotment_id = s.scope AND l.allotment_person_limited) \
                     THEN (l.person = '' AND o.partner_id = s.partner_id AND o.shopper_ref = s.shopper_ref) \
                     OR (l.person <> '' AND s.partner_id = '' AND l.person = s.shopper_ref) ELSE FALSE END"
                )
            )
        );
        none!(
            "a quota counts its lines",
            concat!(
                "SELECT q.owner FROM drop_quota AS q WHERE q.taken <> ",
                taken!("AND l.drop_id = q.drop_id AND l.drop_quota = q.owner")
            )
        );
        none!(
            "quotas are a part of their drop",
            "SELECT d.drop_id FROM drop_sale AS d WHERE d.taken > d.total_limit OR d.quota_total <> \
             (SELECT COALESCE(CAST(SUM(unit_limit) AS BIGINT), 0) FROM drop_quota AS q WHERE q.drop_id = d.drop_id)"
        );
        let now = tx.now();
        let found = sql!(
            tx,
            all(String,),
            "SELECT d.drop_id FROM drop_sale AS d WHERE d.taken + (SELECT COALESCE(CAST(SUM(unit_limit - taken) AS BIGINT), 0) \
             FROM drop_quota AS q WHERE q.drop_id = d.drop_id AND (q.release_time IS NULL OR q.release_time > $1)) \
             > d.total_limit",
            now
        )?;
        wrong.extend(
            found
                .into_iter()
                .map(|(row,)| format!("what is set aside was sold: {row}")),
        );
        none!(
            "no person is over an allotment's limit",
            "SELECT s.scope || ' ' || s.shopper_ref FROM shopper_count AS s JOIN allotment AS a ON a.allotment_id = s.scope \
             WHERE a.per_person_limit > 0 AND s.taken > a.per_person_limit"
        );
        none!(
            "no shopper is over a listing's limit",
            "SELECT s.scope || ' ' || s.shopper_ref FROM shopper_count AS s JOIN listing AS l ON l.listing_id = s.scope \
             WHERE l.per_shopper_limit > 0 AND s.taken > l.per_shopper_limit"
        );
        none!(
            "no shopper is over a drop's limit",
            "SELECT s.scope || ' ' || s.shopper_ref FROM shopper_count AS s JOIN drop_sale AS d ON d.drop_id = s.scope \
             WHERE d.per_person_limit > 0 AND s.taken > d.per_person_limit"
        );
        money(tx, &mut wrong).await?;
        Ok(wrong)
    }
}

async fn money(tx: &mut Tx, wrong: &mut Vec<String>) -> Result<(), Fault> {
    macro_rules! none {
        ($what:literal, $text:expr) => {{
            let found = sql!(tx, all(String,), $text)?;
            wrong.extend(found.into_iter().map(|(row,)| format!("{}: {row}", $what)));
        }};
    }
    none!(
        "an order is the sum of its lines",
        "SELECT o.order_id FROM orders AS o WHERE o.payable <> (SELECT CAST(SUM(payable) AS BIGINT) FROM order_line AS l \
         WHERE l.order_id = o.order_id) OR o.commission <> (SELECT CAST(SUM(commission) AS BIGINT) FROM order_line AS l \
         WHERE l.order_id = o.order_id)"
    );
    none!(
        "a paid order has one payment of what was payable",
        "SELECT o.order_id FROM orders AS o WHERE (o.pay_time IS NOT NULL) <> ((SELECT COUNT(*) FROM payment AS p \
         WHERE p.order_id = o.order_id AND p.outcome = 'PAID' AND p.amount = o.payable \
         AND p.currency_code = o.currency_code) = 1)"
    );
    none!(
        "what goes back of a payment is what its refunds say",
        "SELECT p.payment_id FROM payment AS p WHERE p.refunded <> (SELECT COALESCE(CAST(SUM(shopper_amount) AS BIGINT), 0) \
         FROM refund AS r WHERE r.payment_id = p.payment_id)"
    );
    none!(
        "what an order owes is what its refunds say",
        "SELECT o.order_id FROM orders AS o WHERE o.refund_due <> (SELECT COALESCE(CAST(SUM(shopper_amount) AS BIGINT), 0) \
         FROM refund AS r WHERE r.order_id = o.order_id AND r.currency_code = o.currency_code AND r.state <> 'EXECUTED')"
    );
    none!(
        "what an order counts as open is what its refunds say",
        "SELECT o.order_id FROM orders AS o WHERE o.refunds_open <> (SELECT COUNT(*) FROM refund AS r \
         WHERE r.order_id = o.order_id AND r.state <> 'EXECUTED')"
    );
    none!(
        "a payment that did not pay its order goes back as a whole",
        "SELECT payment_id FROM payment WHERE outcome = 'REFUND_DUE' AND refunded <> amount"
    );
    none!(
        "positions are without a gap",
        "SELECT scope FROM feed_head AS h WHERE (h.scope = '' AND h.position <> (SELECT COUNT(*) FROM feed)) \
         OR (h.scope <> '' AND h.scope <> 'audit' \
         AND h.position <> (SELECT COUNT(*) FROM feed AS f WHERE f.partner_id = h.scope))"
    );
    Ok(())
}
