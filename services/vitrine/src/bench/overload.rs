//! Set aside for `vitrine bench overload`.

use clap::Args;

use super::report::Report;
use super::{Bench, Common};

/// `vitrine bench overload`.
#[derive(Clone, Debug, Args)]
pub struct OverloadArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

/// Runs it.
pub async fn run(_: &Bench, _: &OverloadArgs) -> anyhow::Result<Report> {
    anyhow::bail!("`vitrine bench overload` is not built into this program; `vitrine bench flash-sale` is")
}
