//! Clusters of real node processes, one file per area.

mod balancing;
mod calling;
mod damage;
mod deploying;
mod examples;
mod failing;
mod forming;
mod joining;
mod moving;
mod returning;
