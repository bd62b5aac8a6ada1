//! What can be done, one family of steps in each file.

pub mod batch;
pub mod desk;

pub use crate::model::command;
