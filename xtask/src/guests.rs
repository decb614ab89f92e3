//! Placeholder until guests can be built.

/// Builds nothing yet.
pub(crate) fn build_all() -> anyhow::Result<()> {
    anyhow::bail!("no guests yet")
}
