//! What can be done: one file per change, or per family of changes that differ only in number.

pub mod aftersale;
pub mod aftersale_time;
pub mod block;
pub mod cancel;
pub mod care;
pub mod intake;
pub mod privacy;
pub mod read;
pub mod returns;
pub mod ship;
pub mod sweep;
pub mod track;
