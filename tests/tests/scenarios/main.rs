//! Scenarios with real processes: a whole vault over loopback, and a hostile host around it.
//!
//! One program for all of them, so that it is linked once. Each test has processes and a directory of its own.

mod bad_input;
mod crash;
mod fence;
mod gate;
mod host_reads;
mod host_tampers;
mod host_writes;
mod restart;
mod rig;
mod sealed_memory;
mod tpm_agents;
mod tpm_clock;
