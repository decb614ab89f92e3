//! Clusters of real node processes, one file per area.

mod backup;
mod balancing;
mod calling;
mod damage;
mod deploying;
mod examples;
mod failing;
mod forming;
mod joining;
mod repairing;
mod returning;
