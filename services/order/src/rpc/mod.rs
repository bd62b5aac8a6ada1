//! The gRPC services: parse, ask an operation, render.

pub mod parse;
pub mod render;
