//! The service's RPCs: parse, do, render.

pub mod render;
