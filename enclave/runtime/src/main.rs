//! `vouchsafe-enclave`: flags in, exit code out.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use vouchsafe_enclave_runtime::{Exit, harden, verifications};

use crate::options::Options;

mod options;

/// Threads for calls that block, beside those that verify proofs: opening the platform, and what libraries need.
const SPARE_THREADS: usize = 4;
/// Time for a blocking call of the platform to return when the process ends.
const SHUTDOWN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Wrong usage ends in here, with exit code 2.
    let options = Options::parse();
    start_log(&options.log);
    std::panic::set_hook(Box::new(|panic| {
        // Only where: the message of a panic may hold what was being worked on.
        let (file, line) = panic.location().map_or(("?", 0), |at| (at.file(), at.line()));
        tracing::error!(file, line, "a part of the enclave died; please report this");
    }));
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone there is nobody to tell.
            writeln!(std::io::stderr(), "vouchsafe-enclave: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> anyhow::Result<()> {
    harden::process()?;
    let config = options.into_config()?;
    harden::raise_open_files(config.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(verifications() + SPARE_THREADS)
        .build()
        .context("cannot start threads")?;
    let exit = runtime.block_on(vouchsafe_enclave_runtime::run(config));
    runtime.shutdown_timeout(SHUTDOWN);
    match exit? {
        Exit::Stopped => Ok(()),
        Exit::Sealed => Err(forget_everything()),
    }
}

/// Replaces this process by a sealed one, so that nothing of its memory remains (V8). Returns only if that
/// fails; ending the process then forgets as much.
fn forget_everything() -> anyhow::Error {
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).arg(options::SEALED_FLAG).exec();
    anyhow::Error::new(error)
        .context("the vault is sealed, but the process could not be replaced; it ends instead")
}

/// Standard error only, and only what this workspace's own crates say: other libraries may quote input.
fn start_log(level: &options::LogLevel) {
    let filter = EnvFilter::new(format!("off,vouchsafe={}", level.as_str()));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
