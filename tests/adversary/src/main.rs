//! `vouchsafe-adversary`: what a hostile host and hostile agents do, as a program for the demo.
//!
//! Trusted for: nothing, and that is the point. It uses public interfaces only, and each attack is a real one:
//! it would succeed against a vault that did not check.
//! Left to the caller: to expect exit code 3. 0: the attack succeeded; 1: it could not be tried; 2: wrong
//! usage; 3: it was refused, and the reason is on standard output.

mod agent;
mod flip;
mod replay;
mod scan;
mod software_key;
mod tap;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use vouchsafe_platform::tpm::Tcti;
use vouchsafe_protocol::id::RoleName;

/// Attacks on a vault, for the demo
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    attack: Attack,
}

#[derive(Subcommand)]
enum Attack {
    /// Flip one bit of a stored journal frame; the host must not be running
    Flip {
        /// Data directory of the host
        data: PathBuf,
        /// Index of the frame
        #[arg(long)]
        frame: u64,
        /// Index of the byte in it; from the end if negative
        #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
        byte: i64,
    },
    /// Record an agent's Prove as the host that it goes through, and send it again
    Replay(Victim),
    /// Search files for texts: raw, hexadecimal and base64; prints what was found where
    Scan {
        /// A text
        #[arg(long = "find", required = true)]
        texts: Vec<String>,
        /// Files and directories
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Attest with a key made by software instead of one that lives in the TPM
    SoftwareKey(Victim),
    /// Stand between host and enclave and record every byte
    Tap {
        /// Socket to listen on
        #[arg(long)]
        listen: PathBuf,
        /// Socket to connect to
        #[arg(long)]
        connect: PathBuf,
        /// File to record to
        #[arg(long)]
        record: PathBuf,
    },
}

/// A machine that could be introduced in an honest way, and the vault.
#[derive(Args)]
struct Victim {
    /// Pin of the vault
    #[arg(long)]
    pin: PathBuf,
    /// Address of its host
    #[arg(long)]
    address: String,
    /// Role to ask for
    #[arg(long)]
    role: RoleName,
    /// The machine's TPM
    #[arg(long)]
    tcti: Tcti,
    /// File of the machine's attestation key
    #[arg(long)]
    ak_file: PathBuf,
}

/// What came of an attack.
enum Outcome {
    /// Done.
    Done(String),
    /// Refused, with the reason.
    Refused(String),
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what came of it is this program's result")]
async fn main() -> ExitCode {
    match run(Arguments::parse().attack).await {
        Ok(Outcome::Done(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Outcome::Refused(text)) => {
            println!("{text}");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(attack: Attack) -> Result<Outcome> {
    match attack {
        Attack::Flip { data, frame, byte } => flip::flip(&data, frame, byte),
        Attack::Replay(victim) => replay::replay(victim).await,
        Attack::Scan { texts, paths } => scan::scan(&texts, &paths),
        Attack::SoftwareKey(victim) => software_key::introduce_with(victim).await,
        Attack::Tap { listen, connect, record } => tap::tap(&listen, &connect, &record).await,
    }
}
