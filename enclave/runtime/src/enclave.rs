//! One run, from its configuration to its exit.

use std::io::Write;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use vouchsafe_platform::{Platform, PlatformError};

use crate::clock::Clock;
use crate::config::{Address, Config, Limits, PcrSelection, Wake};
use crate::introduce::Desk;
use crate::lifecycle::{Exit, Lifecycle, stay_sealed};
use crate::links::{LinkSlot, Links};
use crate::listener::{ListenError, Listener};
use crate::machine::Machine;
use crate::phase::Phase;
use crate::vault::SealOrder;
use crate::verifiers::Verifiers;

/// Why an enclave does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The machine is not what was asked for.
    #[error("the platform cannot be used")]
    Platform(#[source] PlatformError),
    /// The platform's code died.
    #[error("opening the platform failed unexpectedly")]
    PlatformDied,
    /// The platform has no thread to run on.
    #[error("cannot start a thread for the platform")]
    PlatformThread(#[source] std::io::Error),
    /// No signal handlers.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// An enclave that listens and does nothing yet.
pub struct Enclave {
    listener: Listener,
    /// None holds no key and gets none: a sealed vault.
    machine: Option<Machine>,
    connections: usize,
}

impl Enclave {
    /// Opens the machine and binds the address. A sealed one does without the machine.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let Config { listen, platform, pcrs, limits, wake } = config;
        match wake {
            Wake::Sealed => {
                let listener = Listener::bind(&listen).await?;
                Ok(Self { listener, machine: None, connections: limits.connections })
            }
            Wake::Serving => {
                let opened = tokio::task::spawn_blocking(move || vouchsafe_platform::open(&platform)).await;
                let platform = opened.map_err(|_| OpenError::PlatformDied)?.map_err(OpenError::Platform)?;
                Self::on(platform, &listen, &pcrs, limits).await
            }
        }
    }

    /// The same on a machine that is open already.
    ///
    /// # Errors
    /// [`OpenError::Listen`], [`OpenError::PlatformThread`].
    pub async fn on(
        platform: Box<dyn Platform>,
        listen: &Address,
        pcrs: &PcrSelection,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let listener = Listener::bind(listen).await?;
        let machine = Some(Machine::new(platform, pcrs.indices()).map_err(OpenError::PlatformThread)?);
        Ok(Self { listener, machine, connections: limits.connections })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Serves until `stop` completes or an operator seals the vault. Dropping this future ends it like a crash.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Exit {
        let clock = Arc::new(Clock::start());
        let slot = Arc::new(LinkSlot::default());
        let first = if self.machine.is_some() { Phase::Unavailable } else { Phase::Sealed };
        let (phase, phases) = watch::channel(first);
        let (inits, jobs) = mpsc::channel(1);
        let (stopping, stopped) = watch::channel(false);
        let links = Links {
            listener: self.listener,
            connections: self.connections,
            storage: Arc::clone(&slot),
            desk: Desk { phase: phases, inits, clock: Arc::clone(&clock), verifiers: Verifiers::new() },
        };
        let life = async {
            match self.machine {
                Some(machine) => {
                    let stop = stopped.clone();
                    let (inits, seal, served) = (jobs, SealOrder::default(), false);
                    Lifecycle { machine, clock, phase, links: slot, inits, stop, seal, served }.run().await
                }
                None => {
                    // Held, so that everybody goes on seeing that it is sealed.
                    let _phase = phase;
                    stay_sealed(&slot, stopped.clone()).await
                }
            }
        };
        let told = async {
            stop.await;
            stopping.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            exit = life => exit,
            () = links.serve(stopped.clone()) => Exit::Stopped,
            () = told => Exit::Stopped,
        }
    }
}

/// Opens an enclave, says so in one line on standard output, and serves until SIGTERM, SIGINT or a seal.
///
/// # Errors
/// [`OpenError`].
pub async fn run(config: Config) -> Result<Exit, OpenError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(OpenError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(OpenError::Signals)?;
    let enclave = Enclave::open(config).await?;
    let line = format!("listening {{\"link\":\"{}\"}}\n", json_text(&enclave.address().to_string()));
    let mut out = std::io::stdout();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads standard output");
    }
    let stop = async {
        tokio::select! {
            () = told(&mut terminate) => {}
            () = told(&mut interrupt) => {}
        }
        tracing::info!("told to stop");
    };
    Ok(enclave.run(stop).await)
}

/// A signal stream that ended never tells anything again.
async fn told(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// A text inside a JSON string (RFC 8259, section 7).
fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_stays_one_json_string() {
        assert_eq!(json_text("/a\"b\\c\n"), "/a\\\"b\\\\c\\u000a");
    }
}
