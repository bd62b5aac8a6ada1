//! Set aside for `vitrine bench growth`.

use clap::Args;

use super::report::Report;
use super::{Bench, Common};

/// `vitrine bench growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

/// Runs it.
pub async fn run(_: &Bench, _: &GrowthArgs) -> anyhow::Result<Report> {
    anyhow::bail!("`vitrine bench growth` is not built into this program; `vitrine bench flash-sale` is")
}
