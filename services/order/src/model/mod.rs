//! What the order service reasons about: plain values and pure transitions. Nothing here waits, and nothing
//! knows of tables or the wire.

pub mod adjustment;
pub mod amount;
pub mod balance;
pub mod book;
pub mod command;
pub mod contact;
pub mod conversion;
pub mod drops;
pub mod fold;
pub mod ledger;
pub mod link;
pub mod listing;
pub mod money;
pub mod order;
pub mod payment;
pub mod pricing;
pub mod progress;
pub mod proposal;
pub mod rate;
pub mod refund;
pub mod refund_decided;
pub mod refund_report;
pub mod returns;
pub mod sales;
pub mod stock;
pub mod told;
mod words;

pub use amount::{AmountError, LineAmount, OrderAmount, Pricing};
pub use balance::Balance;
pub use book::HoldRules;
pub use drops::{Draws, DropSale, DropShare, DropState, PriceSource, Quota, QuotaOwner};
pub use ledger::{CostBearer, LedgerEntry, LedgerStep};
pub use listing::{
    CollectedBy, DatedMode, Listing, ListingState, PartnerState, PurchaseMode, Unit,
};
pub use order::{
    AftersaleState, CancelReason, CareBlocks, Destination, FulfillmentState, Line, LineQuantities,
    Order, OrderState, PaymentState, Placement, ShipBlock, ShipTerms, Touchpoint,
};
pub use payment::{Payment, PaymentOutcome, Refund, RefundLine, RefundReason, RefundState};
pub use refund::{Component, Parts, RefundShares};
pub use refund_decided::LineDraft;
pub use refund_report::{RefundFailure, RefundReport, RefundStatement};
pub use returns::{ReturnNews, ReturnStage, ReturnedLine};
pub use stock::{Allotment, Assignment, Movement, MovementKind, Stock, StopKind};
