//! What must hold whatever anybody tries: `cargo test --workspace security` runs it with all the others.

mod forge;
mod statements;
