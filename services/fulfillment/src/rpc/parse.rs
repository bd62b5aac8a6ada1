//! What requests have in common.

use std::collections::BTreeSet;

use contracts::ErrorReason;
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::errors::Refusal;
use kit::validate::Violations;

use crate::config::Config;
use crate::model::LineQuantity;

/// The idempotency key of a request.
pub(super) fn request_id(wrong: &mut Violations, text: &str) -> String {
    wrong.text("request_id", text, 1..=64)
}

/// Whose things a caller reads: a partner's own; for others those of the partner asked for, or all. Another
/// partner is to a partner what an unknown one is.
pub(super) fn readable(
    caller: &Caller,
    asked: Option<PartnerId>,
) -> Result<Option<PartnerId>, Refusal> {
    if caller.audience != Audience::Partner {
        return Ok(asked);
    }
    let own = caller.partner()?;
    match asked {
        Some(other) if other != own => Err(Refusal::not_found("partner")),
        _ => Ok(Some(own)),
    }
}

/// Lines with quantities, each line once.
pub(super) fn lines<'a>(
    wrong: &mut Violations,
    config: &Config,
    lines: impl ExactSizeIterator<Item = (&'a str, i64)>,
) -> Vec<LineQuantity> {
    if lines.len() > config.lines_max {
        wrong.add(
            "lines",
            format!(
                "must have at most {} items, but has {}.",
                config.lines_max,
                lines.len()
            ),
        );
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::with_capacity(lines.len());
    for (at, (order_line_id, quantity)) in lines.enumerate() {
        let mut line = wrong.nested(format_args!("lines[{at}]"));
        let id = line.id("order_line_id", order_line_id);
        let quantity = line.range("quantity", quantity, 1..=config.quantity_max);
        let Some(order_line_id) = id else { continue };
        if !seen.insert(order_line_id) {
            line.add(
                "order_line_id",
                "names a line that an earlier item names; name each once.",
            );
        }
        parsed.push(LineQuantity {
            order_line_id,
            quantity,
        });
    }
    parsed
}

/// A page token that is well formed and yet was never given.
pub(super) fn bad_token() -> Refusal {
    Refusal::new(
        ErrorReason::BadPageToken,
        "The page_token is not one of this query; send the same request again without it.",
    )
}
