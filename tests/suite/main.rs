//! The suite as a whole: its architecture, and the same scenarios on several topologies.

mod architecture;
mod day;
mod hang_up;
mod partners;
mod raw;
mod retry_rules;
mod security;
mod shop;
mod suspended;
mod topology;
