//! Customer care's tables.

pub mod case;
pub mod list;
pub mod look;
pub mod sealed;
pub mod talk;
pub mod topic;
