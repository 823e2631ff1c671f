//! The `vouchsafe` command line: for operators, agents' machines and auditors.
//!
//! Trusted for: keeping keys and identities in files that only their owner can read, and printing a secret only
//! where it was asked for: on standard output of `kv get`.
//! Not trusted for: deciding anything. The vault decides; the verifier in `vouchsafe-client` decides which
//! vault is believed.
//! Left to the caller: the directory given by `--dir` (who may write there chooses the vault).

pub mod evidence;

mod cli;
mod commands;
mod context;
mod failure;
mod home;
mod input;
mod output;
mod progress;

pub use crate::cli::run;
