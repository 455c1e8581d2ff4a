//! `beth doctor`: what this machine has and lacks (placeholder).

/// Tells what this machine has and lacks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Prints the report.
pub async fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`beth doctor` is not built yet")
}
