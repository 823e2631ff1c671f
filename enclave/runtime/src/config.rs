//! What an operator can set.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use vouchsafe_platform::PlatformConfig;
use vouchsafe_protocol::limits::PCRS;

/// Where the enclave listens: `unix:PATH` or `vsock:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket, made with mode 0600.
    Unix(PathBuf),
    /// A port of this machine's virtual socket.
    Vsock(u32),
}

/// Why a text is not an address or a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Neither `unix:` nor `vsock:`.
    #[error("an address is unix:PATH or vsock:PORT, as in unix:/run/vouchsafe/enclave.sock")]
    Address,
    /// `unix:` without a path.
    #[error("unix: needs the path of the socket, as in unix:/run/vouchsafe/enclave.sock")]
    Path,
    /// Not a list of PCRs.
    #[error("PCRs are indices from 0 to 23, separated by commas, each once, as in 0,2,4,7")]
    Pcrs,
    /// `vsock:` without a port.
    #[error("vsock: needs a port number, as in vsock:8600")]
    Port,
}

impl FromStr for Address {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(ConfigError::Path) } else { Ok(Self::Unix(path.into())) };
        }
        let port = text.strip_prefix("vsock:").ok_or(ConfigError::Address)?;
        port.parse().map(Self::Vsock).map_err(|_| ConfigError::Port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock(port) => write!(f, "vsock:{port}"),
        }
    }
}

/// PCRs of the SHA-256 bank, ascending, each once, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection(Vec<u8>);

impl PcrSelection {
    /// The indices, ascending.
    #[must_use]
    pub fn indices(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for PcrSelection {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let parsed: Result<Vec<u8>, _> = text.split(',').map(|index| index.trim().parse::<u8>()).collect();
        let mut indices = parsed.map_err(|_| ConfigError::Pcrs)?;
        indices.sort_unstable();
        let distinct = indices.windows(2).all(|pair| pair.first() != pair.last());
        let in_range = indices.last().is_some_and(|last| usize::from(*last) < PCRS);
        if distinct && in_range { Ok(Self(indices)) } else { Err(ConfigError::Pcrs) }
    }
}

/// Limits on what the host may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that carry an introduction or a session, at once; more are closed at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000 }
    }
}

/// How a vault wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It unseals its root key and serves.
    Serving,
    /// It answers everything with "sealed" and holds no key; this is what follows a seal.
    Sealed,
}

/// Everything a run needs.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Address,
    /// The machine below.
    pub platform: PlatformConfig,
    /// What the vault's own TPM quote covers; not used by other platforms.
    pub pcrs: PcrSelection,
    /// Limits.
    pub limits: Limits,
    /// How to wake up.
    pub wake: Wake,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in ["unix:/run/vouchsafe/enclave.sock", "vsock:8600"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("/run/enclave.sock", ConfigError::Address),
            ("unix:", ConfigError::Path),
            ("vsock:", ConfigError::Port),
            ("vsock:3:8600", ConfigError::Port),
            ("vsock:4294967296", ConfigError::Port),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_selection_is_ascending_and_has_each_pcr_once() {
        assert_eq!("7,0, 2".parse::<PcrSelection>().unwrap().indices(), [0, 2, 7]);
        for text in ["", "24", "1,1", "a", "-1", "0,,1", "256"] {
            assert_eq!(text.parse::<PcrSelection>(), Err(ConfigError::Pcrs), "{text}");
        }
    }
}
