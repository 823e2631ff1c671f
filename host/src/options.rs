//! What an operator can set.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

use crate::address::EnclaveAddress;

const EXAMPLES: &str = "\
Examples:
  An enclave on the same machine, agents from the network:
    vouchsafe-host --listen 0.0.0.0:8600 --enclave unix:/run/vouchsafe/enclave.sock --data /var/lib/vouchsafe/host

  An enclave in a virtual machine with context id 3:
    vouchsafe-host --listen 0.0.0.0:8600 --enclave vsock:3:8600 --data /var/lib/vouchsafe/host

  Any free port, for a test; the addresses are printed on standard output when it listens:
    vouchsafe-host --listen 127.0.0.1:0 --admin 127.0.0.1:0 --enclave unix:/tmp/v/enclave.sock --data /tmp/v/host

It keeps trying to reach the enclave; http://ADMIN/readyz says whether agents are served and, if not, why.
It stops cleanly on SIGTERM and SIGINT. Exit code: 0 stopped, 1 failed, 2 wrong usage.";

/// Relays attested agents to a Vouchsafe enclave and stores its sealed journal.
///
/// It cannot read what it relays or stores.
#[derive(Clone, Debug, Parser)]
#[command(name = "vouchsafe-host", version, after_help = EXAMPLES)]
pub struct Options {
    /// Address for agents and operators.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8600)))]
    pub listen: SocketAddr,
    /// Address for /healthz, /readyz and /metrics; plain HTTP, so keep it on the loopback interface.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8601)))]
    pub admin: SocketAddr,
    /// Where the enclave listens: unix:PATH or vsock:CID:PORT.
    #[arg(long, value_name = "ADDR")]
    pub enclave: EnclaveAddress,
    /// Directory for the sealed journal and the TLS certificate; created with mode 0700 if missing.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Limits.
    #[command(flatten)]
    pub limits: Limits,
}

/// Limits on what peers may use. Times in seconds.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Open connections in total; those that have not passed the gate get at most half of them.
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.max_connections, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub max_connections: u32,
    /// Open connections per peer: an IPv4 address, or an IPv6 /64 network.
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.max_connections_per_peer, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_peer: u32,
    /// Introductions per minute and peer; as many may come at once after a quiet minute.
    #[arg(long, value_name = "N", default_value_t = Limits::DEFAULT.introductions_per_minute_per_peer, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub introductions_per_minute_per_peer: u32,
    /// Longest TLS handshake.
    #[arg(long, value_name = "SECS", default_value_t = Limits::DEFAULT.handshake_timeout_secs, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub handshake_timeout_secs: u64,
    /// Longest introduction, from the handshake to the grant; a slow TPM needs several seconds.
    #[arg(long, value_name = "SECS", default_value_t = Limits::DEFAULT.introduction_timeout_secs, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub introduction_timeout_secs: u64,
    /// A session in which no byte moves for this long is closed.
    #[arg(long, value_name = "SECS", default_value_t = Limits::DEFAULT.session_idle_secs, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub session_idle_secs: u64,
    /// Time given to open connections when the host stops.
    #[arg(long, value_name = "SECS", default_value_t = Limits::DEFAULT.drain_secs, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    const DEFAULT: Self = Self {
        max_connections: 8192,
        max_connections_per_peer: 1024,
        introductions_per_minute_per_peer: 120,
        handshake_timeout_secs: 10,
        introduction_timeout_secs: 120,
        session_idle_secs: 900,
        drain_secs: 3,
    };

    /// Longest TLS handshake.
    #[must_use]
    pub fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_timeout_secs)
    }

    /// Longest introduction.
    #[must_use]
    pub fn introduction(&self) -> Duration {
        Duration::from_secs(self.introduction_timeout_secs)
    }

    /// Longest silence in a session.
    #[must_use]
    pub fn session_idle(&self) -> Duration {
        Duration::from_secs(self.session_idle_secs)
    }

    /// Time given to open connections at the end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent_and_the_admin_address_defaults_to_loopback() {
        Options::command().debug_assert();
        let options =
            Options::try_parse_from(["vouchsafe-host", "--enclave", "unix:/e", "--data", "/d"]).unwrap();
        assert!(options.admin.ip().is_loopback() && options.listen.ip().is_loopback());
    }

    #[test]
    fn zero_limits_and_missing_addresses_are_wrong_usage() {
        let complete = ["vouchsafe-host", "--enclave", "unix:/e", "--data", "/d"];
        assert!(Options::try_parse_from(complete.into_iter().chain(["--max-connections", "0"])).is_err());
        assert!(Options::try_parse_from(["vouchsafe-host", "--data", "/d"]).is_err());
        assert!(Options::try_parse_from(["vouchsafe-host", "--enclave", "unix:/e"]).is_err());
    }
}
