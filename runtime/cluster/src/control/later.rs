//! What the control state has gained with levels above the first.

use serde::{Deserialize, Serialize};

use super::certificates::Certificates;
use super::exclusions::Exclusions;
use crate::formats::Level;

/// What level 2 has added to the control state. While the cluster is at level 1 it is as it is by default, and no snapshot has it; from level 2 on it
/// stands in each snapshot behind what level 1 knows.
///
/// Its fields are encoded by position: a level that is released keeps them as they are, and the next one gets a struct of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// The level of formats that the cluster is at.
    pub level: Level,
    /// Who signs the nodes, and the rotation that is under way.
    pub certificates: Certificates,
    /// Who is to own no shards.
    pub exclusions: Exclusions,
}
