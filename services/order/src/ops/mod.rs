//! What can be done, one family of steps in each file.

pub mod adjustment;
pub mod agreed;
pub mod batch;
pub mod cancel;
pub mod chargeback;
pub mod compensation;
pub mod complete;
pub mod contact;
pub mod conversion;
pub mod desk;
pub mod drops;
pub mod expiry;
pub mod history;
pub mod keys;
pub mod ledger;
pub mod link;
pub mod money;
pub mod persons;
pub mod privacy;
pub mod quote;
pub mod rate;
pub mod read;
pub mod refund;
pub mod refund_decide;
pub mod sales;
pub mod supply;
pub mod told;

pub use crate::model::command;
