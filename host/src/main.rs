//! `vouchsafe-host`: the untrusted relay and journal store. `--help` shows how to run it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use vouchsafe_host::host::{Addresses, Host};
use vouchsafe_host::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone there is nobody to tell.
            writeln!(io::stderr(), "vouchsafe-host: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: Options) -> anyhow::Result<()> {
    raise_open_files(u64::from(options.limits.max_connections));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let enclave = options.enclave.clone();
    let host = Host::start(options).await?;
    announce(host.addresses()).context("cannot write the addresses to standard output")?;
    tracing::info!(agents = %host.addresses().agents, admin = %host.addresses().admin, %enclave, "listening");
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    host.run(stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// The one line on standard output, for programs that start a host on port 0.
fn announce(Addresses { agents, admin }: Addresses) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {{\"agents\":\"{agents}\",\"admin\":\"{admin}\"}}")?;
    out.flush()
}

/// A relayed connection takes two descriptors, and the default limit of 1024 is soon used up.
fn raise_open_files(max_connections: u64) {
    let wanted = 2 * max_connections + 128;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current.is_some_and(|current| current < raised)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum })
    {
        tracing::warn!(%error, "cannot raise the open file limit");
    }
    if raised < wanted {
        tracing::warn!(
            raised,
            wanted,
            "the open file limit is below what --max-connections needs; raise it (ulimit -n)"
        );
    }
}
