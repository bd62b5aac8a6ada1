//! `vitrine token`: development tokens, and payment statements to play a partner with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use contracts::common::v1::RetailerRole;
use contracts::id::{OutletId, PartnerId, RoomId};
use kit::auth::{Claims, jws};
use kit::clock::{Clock, SharedClock, SystemClock};
use kit::ids::SystemIds;

use crate::config::VitrineConfig;
use crate::keys;

/// The `typ` header of a payment statement.
pub const STATEMENT_TYPE: &str = "vitrine-payment+jwt";

/// Every scope that partners may have.
const PARTNER_SCOPES: [&str; 13] = [
    "catalog.read",
    "catalog.write",
    "room.read",
    "order.read",
    "order.write",
    "contact.write",
    "fulfillment.read",
    "return.write",
    "care.read",
    "care.write",
    "privacy.read",
    "privacy.write",
    "feed.read",
];

/// Every scope of the retailer; roles narrow them.
const RETAILER_SCOPES: [&str; 18] = [
    "catalog.read",
    "catalog.write",
    "room.read",
    "room.write",
    "order.read",
    "order.write",
    "contact.read",
    "fulfillment.read",
    "fulfillment.write",
    "care.read",
    "care.write",
    "privacy.read",
    "privacy.write",
    "feed.read",
    "conversion.write",
    "rate.read",
    "rate.write",
    "report.read",
];

/// What `vitrine token` makes.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    kind: Kind,
    /// How long a token is valid, in seconds; at most what the server accepts.
    #[arg(long, global = true, default_value_t = 3_600, value_name = "SECONDS")]
    life: u64,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// A token of somebody of the retailer.
    Retailer {
        /// What they may do; may be repeated.
        #[arg(long = "role", default_value = "ops")]
        roles: Vec<Role>,
        /// Who they are, for the audit.
        #[arg(long, default_value = "developer")]
        subject: String,
    },
    /// A token of a partner.
    Partner {
        /// The partner, as RegisterPartner answered: partner_…
        partner_id: PartnerId,
    },
    /// A token of one shopper in one room.
    Viewer {
        /// The partner.
        #[arg(long)]
        partner: PartnerId,
        /// The outlet where the room is shown.
        #[arg(long)]
        outlet: OutletId,
        /// The room.
        #[arg(long)]
        room: RoomId,
        /// The partner's opaque id of the shopper.
        #[arg(long)]
        shopper: String,
    },
    /// The public key of this folder's payment statements, as a JWK for AddPaymentKey.
    PaymentKey,
    /// A signed payment statement for ConfirmPayment.
    Payment {
        /// The order that was paid: order_…
        #[arg(long)]
        order: String,
        /// What was charged, in minor units (cents).
        #[arg(long)]
        minor_units: i64,
        /// ISO 4217 code, such as EUR.
        #[arg(long)]
        currency: String,
        /// The partner's own reference of the payment.
        #[arg(long)]
        reference: String,
    },
}

/// A role of the retailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Runs the shop.
    Ops,
    /// Presents rooms.
    Host,
    /// Moderates rooms.
    Moderator,
    /// Customer care.
    Care,
    /// Packs and ships.
    Warehouse,
    /// Reports tracking.
    Carrier,
    /// Settlement and refunds.
    Finance,
    /// Inspects goods.
    Inspector,
}

impl Role {
    fn proto(self) -> RetailerRole {
        match self {
            Role::Ops => RetailerRole::Ops,
            Role::Host => RetailerRole::Host,
            Role::Moderator => RetailerRole::Moderator,
            Role::Care => RetailerRole::Care,
            Role::Warehouse => RetailerRole::Warehouse,
            Role::Carrier => RetailerRole::Carrier,
            Role::Finance => RetailerRole::Finance,
            Role::Inspector => RetailerRole::Inspector,
        }
    }
}

/// Claims of the retailer with all scopes; the roles narrow them.
pub fn retailer_claims(subject: &str, roles: &[Role]) -> Claims {
    let roles: Vec<RetailerRole> = roles.iter().map(|r| r.proto()).collect();
    Claims::retailer(subject, &roles).scopes(RETAILER_SCOPES)
}

/// Claims of a partner with all scopes of partners.
pub fn partner_claims(partner_id: &PartnerId) -> Claims {
    Claims::partner(format!("app-of-{partner_id}"), partner_id).scopes(PARTNER_SCOPES)
}

/// Prints what was asked for, alone on stdout.
pub fn run(config: &VitrineConfig, args: &TokenArgs) -> anyhow::Result<()> {
    if !keys::folder(config).join("development.pem").exists() {
        eprintln!(
            "note: {} held no keys, so new ones were made; a running suite accepts them only if this is its data folder",
            config.data_dir.display()
        );
    }
    let claims = match &args.kind {
        Kind::Retailer { roles, subject } => retailer_claims(subject, roles),
        Kind::Partner { partner_id } => partner_claims(partner_id),
        Kind::Viewer {
            partner,
            outlet,
            room,
            shopper,
        } => Claims::viewer(partner, outlet, room, shopper.clone()).scopes(["room.view"]),
        Kind::PaymentKey => {
            println!("{}", keys::payment(config)?.public_jwk());
            return Ok(());
        }
        Kind::Payment {
            order,
            minor_units,
            currency,
            reference,
        } => {
            let statement = serde_json::json!({
                "aud": config.order.statement_audience,
                "order_id": order,
                "kind": "CHARGE",
                "minor_units": minor_units,
                "currency_code": currency,
                "payment_reference": reference,
                "paid_at": SystemClock.now().seconds(),
            });
            println!(
                "{}",
                jws::sign(
                    &keys::payment(config)?,
                    STATEMENT_TYPE,
                    statement.to_string().as_bytes()
                )
            );
            return Ok(());
        }
    };
    let clock: SharedClock = Arc::new(SystemClock);
    let signer = keys::development_signer(config, clock.clone(), Arc::new(SystemIds::new(clock)))
        .context("the development key could not be used")?;
    println!("{}", signer.mint(claims, Duration::from_secs(args.life)));
    Ok(())
}
