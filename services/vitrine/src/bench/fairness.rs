//! Set aside for `vitrine bench fairness`.

use clap::Args;

use super::report::Report;
use super::{Bench, Common};

/// `vitrine bench fairness`.
#[derive(Clone, Debug, Args)]
pub struct FairnessArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

/// Runs it.
pub async fn run(_: &Bench, _: &FairnessArgs) -> anyhow::Result<Report> {
    anyhow::bail!("`vitrine bench fairness` is not built into this program; `vitrine bench flash-sale` is")
}
