//! What the order service reasons about: plain values and pure transitions. Nothing here waits, and nothing
//! knows of tables or the wire.

pub mod amount;
pub mod balance;
pub mod book;
pub mod command;
pub mod contact;
pub mod conversion;
pub mod drops;
pub mod fold;
pub mod link;
pub mod listing;
pub mod order;
pub mod payment;
pub mod pricing;
pub mod progress;
pub mod rate;
pub mod refund;
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
pub use listing::{
    CollectedBy, DatedMode, Listing, ListingState, PartnerState, PurchaseMode, Unit,
};
pub use order::{
    AftersaleState, CancelReason, CareBlocks, Destination, FulfillmentState, Line, LineQuantities,
    Order, OrderState, PaymentState, Placement, ShipBlock, ShipTerms, Touchpoint,
};
pub use payment::{Payment, PaymentOutcome, Refund, RefundLine, RefundReason, RefundState};
pub use refund_report::{RefundFailure, RefundReport, RefundStatement};
pub use returns::{ReturnNews, ReturnStage, ReturnedLine};
pub use stock::{Allotment, Assignment, Movement, MovementKind, Stock, StopKind};
