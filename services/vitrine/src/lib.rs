//! The one program of the suite: every role of it is a subcommand, and the code path is always config → assemble → run.

pub mod audit;
pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
mod directory;
pub mod import;
pub mod keys;
pub mod migrate;
pub mod ops;
pub mod partner;
mod ports;
pub mod probe;
pub mod sandbox;
pub mod sealing;
pub mod serve;
mod signers;
pub mod suite;
pub mod token;
