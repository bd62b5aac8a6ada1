//! From the messages of the contract to the model. Everything wrong with a request is named at once.

use std::collections::HashSet;
use std::fmt::Display;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::common::v1 as common;
use contracts::id::{ListingId, OrderLineId};
use contracts::money::Money;
use contracts::order::v1 as pb;
use kit::errors::Refusal;
use kit::validate::Violations;

use crate::model::{CancelReason, Destination, Touchpoint};

/// The most of one listing in one line, in the variant's unit.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// The most units in one movement, and the highest cap of a listing.
pub const UNITS_MAX: i64 = 1_000_000_000_000;
/// More media time than any room has: a year.
const MEDIA_TIME_MAX_MS: i64 = 366 * 24 * 60 * 60 * 1_000;

/// One line that a partner asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLine {
    /// The listing.
    pub listing_id: ListingId,
    /// How many.
    pub quantity: i64,
    /// What the partner takes off.
    pub partner_discount: Option<Money>,
    /// What led here.
    pub touchpoints: Vec<Touchpoint>,
}

/// The refusal of a field that the contract has and this server does not offer yet.
pub fn not_offered(field: &str) -> Refusal {
    Refusal::new(
        ErrorReason::NotOffered,
        format!("Field {field} is not offered yet; leave it empty."),
    )
    .with("field", field)
}

/// Fields that are set although they are not offered yet. They count only when nothing else is wrong.
#[derive(Debug, Default)]
pub struct Unoffered(Option<String>);

impl Unoffered {
    /// Notes a field that has to be empty.
    pub fn note(&mut self, field: impl Display, is_set: bool) {
        if is_set && self.0.is_none() {
            self.0 = Some(field.to_string());
        }
    }

    /// The refusal of what is wrong, or else of what is not offered.
    pub fn finish(self, v: Violations) -> Result<(), Refusal> {
        v.finish()?;
        match self.0 {
            Some(field) => Err(not_offered(&field)),
            None => Ok(()),
        }
    }
}

/// The caller's key.
pub fn request_id(v: &mut Violations, text: &str) -> String {
    v.text("request_id", text, 1..=64)
}

/// The lines to quote or order: each listing once.
pub fn lines(
    v: &mut Violations,
    unoffered: &mut Unoffered,
    lines: &[pb::LineRequest],
    lines_max: usize,
    touchpoints_max: usize,
) -> Vec<WantedLine> {
    if !v.items("lines", lines, 1..=lines_max) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut wanted = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let listing_id = v.id::<ListingId>("listing_id", &line.listing_id);
        let quantity = v.range("quantity", line.quantity, 1..=QUANTITY_MAX);
        let partner_discount = match &line.partner_discount {
            Some(_) => v.money("partner_discount", &line.partner_discount),
            None => None,
        };
        let touchpoints = touchpoints(
            &mut v,
            unoffered,
            format_args!("lines[{index}]."),
            &line.touchpoints,
            touchpoints_max,
        );
        let Some(listing_id) = listing_id else {
            continue;
        };
        if lines.len() > 1 && !seen.insert(listing_id) {
            v.add(
                "listing_id",
                "is in another line already; send one line for each listing.",
            );
        }
        wanted.push(WantedLine {
            listing_id,
            quantity,
            partner_discount,
            touchpoints,
        });
    }
    wanted
}

/// What led to something; `place` is the path to the field.
pub fn touchpoints(
    v: &mut Violations,
    unoffered: &mut Unoffered,
    place: impl Display,
    touchpoints: &[common::Touchpoint],
    most: usize,
) -> Vec<Touchpoint> {
    if !v.items("touchpoints", touchpoints, 0..=most) {
        return Vec::new();
    }
    let parse = |(index, touchpoint): (usize, &common::Touchpoint)| {
        unoffered.note(
            format_args!("{place}touchpoints[{index}].click_token"),
            !touchpoint.click_token.is_empty(),
        );
        let mut v = v.nested(format_args!("touchpoints[{index}]"));
        Touchpoint {
            outlet_id: v.opt_id("outlet_id", &touchpoint.outlet_id),
            room_id: v.opt_id("room_id", &touchpoint.room_id),
            creator_id: v.opt_id("creator_id", &touchpoint.creator_id),
            surface: v.text("surface", &touchpoint.surface, 0..=64),
            media_time_ms: v.range(
                "media_time_ms",
                touchpoint.media_time_ms,
                0..=MEDIA_TIME_MAX_MS,
            ),
            touch_time: v.opt_time("touch_time", &touchpoint.touch_time),
        }
    };
    touchpoints.iter().enumerate().map(parse).collect()
}

/// Where an order goes.
pub fn destination(v: &mut Violations, value: &Option<pb::Destination>) -> Destination {
    let Some(value) = v.required("destination", value) else {
        return Destination::default();
    };
    let mut v = v.nested("destination");
    region_code(&mut v, &value.region_code);
    let subdivision = value.subdivision_code.as_str();
    if !subdivision.is_empty() && !is_subdivision_of(subdivision, &value.region_code) {
        v.add(
            "subdivision_code",
            "must be an ISO 3166-2 code within region_code, such as US-CA, or empty.",
        );
    }
    Destination {
        region_code: value.region_code.clone(),
        subdivision_code: subdivision.to_owned(),
    }
}

/// An ISO 3166-1 alpha-2 code.
pub fn region_code(v: &mut Violations, code: &str) {
    if code.len() != 2 || !code.bytes().all(|letter| letter.is_ascii_uppercase()) {
        v.add(
            "region_code",
            "must be an ISO 3166-1 alpha-2 code in capitals, such as FR.",
        );
    }
}

fn is_subdivision_of(code: &str, region: &str) -> bool {
    code.split_once('-').is_some_and(|(of, rest)| {
        of == region
            && (1..=3).contains(&rest.len())
            && rest
                .bytes()
                .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
    })
}

/// A length of time from a second up, or none when the field is absent.
pub fn duration(
    v: &mut Violations,
    field: &str,
    value: &Option<prost_types::Duration>,
) -> Option<Duration> {
    let value = value.as_ref()?;
    let parsed = u64::try_from(value.seconds)
        .ok()
        .zip(u32::try_from(value.nanos).ok());
    match parsed {
        // A day is more than any limit on what is asked for here, and keeps sums far from overflow.
        Some((seconds @ 1..=86_400, nanos @ 0..=999_999_999)) => {
            Some(Duration::new(seconds, nanos))
        }
        _ => {
            v.add(field, "must be 1 second to 1 day.");
            None
        }
    }
}

/// Lines and quantities of an order; none means all.
pub fn quantities(
    v: &mut Violations,
    lines: &[pb::LineQuantity],
    lines_max: usize,
) -> Vec<(OrderLineId, i64)> {
    if !v.items("lines", lines, 0..=lines_max) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut parsed = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let quantity = v.range("quantity", line.quantity, 1..=QUANTITY_MAX);
        let Some(order_line_id) = v.id::<OrderLineId>("order_line_id", &line.order_line_id) else {
            continue;
        };
        if !seen.insert(order_line_id) {
            v.add(
                "order_line_id",
                "is in another line already; send each line once.",
            );
        }
        parsed.push((order_line_id, quantity));
    }
    parsed
}

/// Why something is cancelled. Some reasons are the retailer's alone.
pub fn cancel_reason(v: &mut Violations, number: i32, by_partner: bool) -> CancelReason {
    let reason = match v.enumeration::<pb::CancelReason>("reason", number) {
        pb::CancelReason::Unspecified | pb::CancelReason::ShopperRequest => {
            CancelReason::ShopperRequest
        }
        pb::CancelReason::PartnerRequest => CancelReason::PartnerRequest,
        pb::CancelReason::Shortage => CancelReason::Shortage,
        pb::CancelReason::Fraud => CancelReason::Fraud,
        pb::CancelReason::ProductSafety => CancelReason::ProductSafety,
    };
    let partners_own = matches!(
        reason,
        CancelReason::ShopperRequest | CancelReason::PartnerRequest
    );
    if by_partner && !partners_own {
        v.add(
            "reason",
            "is one that only the retailer gives; send SHOPPER_REQUEST or PARTNER_REQUEST.",
        );
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(v: Violations) -> Vec<String> {
        let refusal = v.finish().expect_err("something is wrong");
        refusal
            .violations
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn every_wrong_line_is_named() {
        let listing_id = ListingId::from_uuid(1).to_string();
        let line = |quantity| pb::LineRequest {
            listing_id: listing_id.clone(),
            quantity,
            ..Default::default()
        };
        let touched = pb::LineRequest {
            listing_id: "x".into(),
            quantity: 1,
            partner_discount: Some(common::Money {
                currency_code: "EUR".into(),
                minor_units: -1,
            }),
            touchpoints: vec![common::Touchpoint {
                media_time_ms: -1,
                outlet_id: "y".into(),
                ..Default::default()
            }],
        };
        let (mut v, mut unoffered) = (Violations::new(), Unoffered::default());
        lines(&mut v, &mut unoffered, &[line(0), line(1), touched], 50, 10);
        assert_eq!(
            fields(v),
            [
                "lines[0].quantity",
                "lines[1].listing_id",
                "lines[2].listing_id",
                "lines[2].partner_discount.minor_units",
                "lines[2].touchpoints[0].outlet_id",
                "lines[2].touchpoints[0].media_time_ms",
            ]
        );
        for count in [0, 51] {
            let mut v = Violations::new();
            lines(
                &mut v,
                &mut Unoffered::default(),
                &vec![line(1); count],
                50,
                10,
            );
            assert_eq!(fields(v), ["lines"]);
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_when_nothing_is_wrong() {
        let line = pb::LineRequest {
            listing_id: ListingId::from_uuid(1).into(),
            quantity: 1,
            touchpoints: vec![common::Touchpoint {
                click_token: "t".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let (mut v, mut unoffered) = (Violations::new(), Unoffered::default());
        lines(&mut v, &mut unoffered, &[line], 50, 10);
        let refusal = unoffered.finish(v).expect_err("not offered");
        assert_eq!(refusal.reason, ErrorReason::NotOffered);
        assert_eq!(
            refusal.metadata["field"],
            "lines[0].touchpoints[0].click_token"
        );
    }

    #[test]
    fn a_destination_is_a_region_and_perhaps_a_part_of_it() {
        let wrong = |region: &str, subdivision: &str| {
            let mut v = Violations::new();
            let value = pb::Destination {
                region_code: region.into(),
                subdivision_code: subdivision.into(),
            };
            destination(&mut v, &Some(value));
            v.finish()
                .err()
                .map(|refusal| refusal.violations.len())
                .unwrap_or(0)
        };
        assert_eq!(
            (wrong("FR", ""), wrong("US", "US-CA"), wrong("FR", "FR-75")),
            (0, 0, 0)
        );
        assert_eq!(
            (wrong("fr", ""), wrong("FRA", ""), wrong("", "")),
            (1, 1, 1)
        );
        assert_eq!(
            (
                wrong("US", "CA-US"),
                wrong("US", "US-"),
                wrong("US", "US-CALI")
            ),
            (1, 1, 1)
        );
        let mut v = Violations::new();
        destination(&mut v, &None);
        assert_eq!(fields(v), ["destination"]);
    }

    #[test]
    fn durations_are_from_a_second_to_a_day() {
        let parse = |seconds, nanos| {
            let mut v = Violations::new();
            let parsed = duration(
                &mut v,
                "extension",
                &Some(prost_types::Duration { seconds, nanos }),
            );
            (parsed, v.is_empty())
        };
        assert_eq!(
            parse(90, 500_000_000),
            (Some(Duration::from_millis(90_500)), true)
        );
        for (seconds, nanos) in [
            (0, 999_999_999),
            (-1, 0),
            (86_401, 0),
            (1, -1),
            (1, 1_000_000_000),
            (i64::MAX, 0),
        ] {
            assert_eq!(parse(seconds, nanos), (None, false), "{seconds} {nanos}");
        }
    }

    #[test]
    fn some_reasons_are_the_retailers() {
        let wrong = |reason: pb::CancelReason, by_partner| {
            let mut v = Violations::new();
            cancel_reason(&mut v, reason.into(), by_partner);
            !v.is_empty()
        };
        assert!(!wrong(pb::CancelReason::PartnerRequest, true));
        assert!(wrong(pb::CancelReason::Shortage, true));
        assert!(!wrong(pb::CancelReason::Shortage, false));
        assert!(wrong(pb::CancelReason::Unspecified, false));
    }
}
