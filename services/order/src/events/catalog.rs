//! What the catalogue says.
