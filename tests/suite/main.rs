//! The suite as a whole: its architecture, and the same scenarios on several topologies.

mod architecture;
mod evening;
mod raw;
mod strangers;
mod tokens;
mod topology;
