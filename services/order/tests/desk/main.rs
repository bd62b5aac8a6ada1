//! The desk against real databases: the same commands one at a time and in batches, and many lanes at once.

mod audit;
mod differential;
mod hammer;
mod history;
mod never;
mod plans;
mod told;
mod world;
