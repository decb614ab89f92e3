//! Integration tests of the simulation.
