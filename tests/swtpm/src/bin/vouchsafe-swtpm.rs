//! Runs a software TPM for the demo: make, start, extend, stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use vouchsafe_swtpm::Swtpm;

/// A software TPM in a directory: TPM state, certificate authority and port
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the TPM of a directory (made if not there), boot its machine and print the TCTI string
    Start {
        /// The directory
        dir: PathBuf,
    },
    /// Extend a PCR of the SHA-256 bank
    Extend {
        /// The directory
        dir: PathBuf,
        /// PCR index, 0 to 23
        pcr: u8,
        /// Digest, 64 hexadecimal digits
        digest: String,
    },
    /// Stop it
    Stop {
        /// The directory
        dir: PathBuf,
    },
}

#[expect(clippy::print_stderr, reason = "the one place where errors are told")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the TCTI string is this program's result")]
fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Start { dir } => println!("{}", start(&dir)?),
        Command::Extend { dir, pcr, digest } => {
            let mut value = [0; 32];
            hex::decode_to_slice(&digest, &mut value).context("a digest is 64 hexadecimal digits")?;
            vouchsafe_swtpm::extend(read_port(&dir)?, pcr, value)?;
        }
        Command::Stop { dir } => {
            vouchsafe_swtpm::shut_down(read_port(&dir)?)?;
            fs::remove_file(port_file(&dir)).context("cannot remove the port file")?;
        }
    }
    Ok(())
}

/// Starts and boots; writes `port`, `pid`, `ek-root.der` and `ek-issuer.der` into the directory.
fn start(dir: &Path) -> Result<String> {
    ensure!(!port_file(dir).exists(), "a TPM of {} is running; stop it first", dir.display());
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let tpm = Swtpm::open(&dir)?;
    tpm.boot()?;
    for (name, certificate) in ["ek-root.der", "ek-issuer.der"].iter().zip(tpm.ek_anchors()?) {
        fs::write(dir.join(name), certificate).with_context(|| format!("cannot write {name}"))?;
    }
    let (tcti, pid) = (tpm.tcti(), tpm.pid());
    let pid = pid.context("the TPM ended")?.to_string();
    fs::write(dir.join("pid"), pid).context("cannot write pid")?;
    fs::write(port_file(&dir), tpm.leave_running().to_string()).context("cannot write port")?;
    Ok(tcti)
}

fn port_file(dir: &Path) -> PathBuf {
    dir.join("port")
}

fn read_port(dir: &Path) -> Result<u16> {
    let path = port_file(dir);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no TPM is running in {}; start it first", dir.display()))?;
    text.trim().parse().with_context(|| format!("{} is damaged", path.display()))
}
