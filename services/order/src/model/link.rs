//! Deep links into the retailer's shop.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{DeepLinkId, ListingId, PartnerId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::listing::{Listing, ListingState, PartnerState, PurchaseMode};
use super::order::Touchpoint;

/// A link with what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeepLink {
    /// The link.
    pub deep_link_id: DeepLinkId,
    /// Who shows it.
    pub partner_id: PartnerId,
    /// Where it leads.
    pub listing_id: ListingId,
    /// For whom.
    pub shopper_ref: String,
    /// What led here.
    pub touchpoints: Vec<Touchpoint>,
    /// The listing's terms version when it was made.
    pub terms_version: i64,
    /// What its conversions earn.
    pub commission_basis_points: i64,
    /// Legal entity that sells.
    pub legal_entity: String,
    /// When it was made.
    pub create_time: Micros,
    /// Until when a click on it counts.
    pub expire_time: Micros,
}

/// Whether a link to the listing may be made now. A link to what is not sold would send a shopper to nothing.
pub fn check_linkable(listing: &Listing, now: Micros) -> Result<(), Refusal> {
    let refuse = |reason, message: &str| {
        Err(Refusal::new(reason, message).with("listing_id", listing.listing_id))
    };
    if listing.partner_state != PartnerState::Active {
        return Err(Refusal::new(
            ErrorReason::PartnerSuspended,
            "The partner is suspended and cannot sell; ask the retailer.",
        ));
    }
    if listing.mode_at(now) == PurchaseMode::InApp {
        return refuse(
            ErrorReason::ListingInApp,
            "The partner takes the money for this listing now; sell it with PlaceOrder.",
        );
    }
    if listing.state != ListingState::Live {
        return refuse(
            ErrorReason::ListingNotLive,
            "The listing is not on sale now.",
        )
        .map_err(|refusal| refusal.with("state", listing.state));
    }
    if !listing.in_window(now) {
        return refuse(
            ErrorReason::OutsideWindow,
            "The listing's sale window has not begun or is over.",
        );
    }
    Ok(())
}

/// How long things may take from a link to a conversion and its reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversionRules {
    /// From the click to the purchase.
    pub attribution_window: Duration,
    /// From the purchase to a reversal.
    pub reversal_window: Duration,
    /// How far the shop's clock may be off.
    pub clock_skew: Duration,
}

impl ConversionRules {
    /// Whether a purchase at `convert_time` after a click at `click_time` is the link's.
    pub fn check_purchase(
        &self,
        link: &DeepLink,
        click_time: Micros,
        convert_time: Micros,
        now: Micros,
    ) -> Result<(), Refusal> {
        if click_time.plus(self.clock_skew) < link.create_time {
            return Err(Refusal::invalid(
                "click_time",
                "must not be before the link was made",
            ));
        }
        if click_time >= link.expire_time {
            return Err(Refusal::new(
                ErrorReason::LinkExpired,
                "The link was over when it was clicked; what is bought then is not credited to it.",
            )
            .with("expire_time_s", link.expire_time.seconds()));
        }
        if convert_time < click_time {
            return Err(Refusal::invalid(
                "convert_time",
                "must not be before click_time",
            ));
        }
        if convert_time > now.plus(self.clock_skew) {
            return Err(Refusal::invalid(
                "convert_time",
                "must not be in the future",
            ));
        }
        if convert_time > click_time.plus(self.attribution_window) {
            let days = self.attribution_window.as_secs() / 86_400;
            return Err(Refusal::new(
                ErrorReason::OutsideWindow,
                format!(
                    "It was bought more than {days} days after the click; it is not credited to the link."
                ),
            ));
        }
        Ok(())
    }

    /// Whether what was bought at `convert_time` may go back at `reverse_time`.
    pub fn check_reversal(
        &self,
        convert_time: Micros,
        reverse_time: Micros,
        now: Micros,
    ) -> Result<(), Refusal> {
        if reverse_time < convert_time {
            return Err(Refusal::invalid(
                "reverse_time",
                "must not be before the purchase",
            ));
        }
        if reverse_time > now.plus(self.clock_skew) {
            return Err(Refusal::invalid(
                "reverse_time",
                "must not be in the future",
            ));
        }
        if reverse_time > convert_time.plus(self.reversal_window) {
            let days = self.reversal_window.as_secs() / 86_400;
            return Err(Refusal::new(
                ErrorReason::OutsideWindow,
                format!(
                    "Conversions can be reversed for {days} days after the purchase; settle this otherwise."
                ),
            ));
        }
        Ok(())
    }
}
