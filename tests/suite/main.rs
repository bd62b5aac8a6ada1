//! The suite as a whole: its architecture, and the same scenarios on several topologies.

mod architecture;
