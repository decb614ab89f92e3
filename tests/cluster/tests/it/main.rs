//! Clusters of real node processes, one file per area.

mod backup;
mod balancing;
mod benching;
mod calling;
mod damage;
mod deploying;
mod examples;
mod explaining;
mod failing;
mod foreign;
mod forming;
mod full_disk;
mod granting;
mod histories;
mod joining;
mod lost_disk;
mod moving;
mod planning;
mod repairing;
mod returning;
mod rotating;
mod sick;
mod streaming;
mod versions;
mod watching;
