//! Where the TPM is: the configuration string, parsed strictly.
//!
//! The TPM software stack reads what it does not understand as its default, so that a typing error would
//! reach another TPM. Here it is an error.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TctiNameConf};

/// Where the TPM is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tcti {
    /// A device file: `device:/dev/tpmrm0`.
    Device(PathBuf),
    /// A software TPM over TCP: `swtpm:host=127.0.0.1,port=2321`. It serves one connection at a time.
    Swtpm {
        /// Host name or address.
        host: String,
        /// Port of the command channel; the control channel is the next one.
        port: u16,
    },
}

/// Why a text does not say where a TPM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TctiError {
    /// Not one of the two forms.
    #[error("a TPM is named 'device:/dev/tpmrm0' or 'swtpm:host=127.0.0.1,port=2321'")]
    Form,
    /// A Unix socket, which libtss2 3.2 cannot reach.
    #[error("a software TPM on a Unix socket is not supported by this TPM library; use host and port")]
    UnixSocket,
}

impl Tcti {
    /// The kernel's device with a resource manager.
    #[must_use]
    pub fn default_device() -> Self {
        Self::Device(PathBuf::from("/dev/tpmrm0"))
    }

    /// Whether nobody else can be connected: there is no resource manager in between.
    pub(crate) fn is_exclusive(&self) -> bool {
        matches!(self, Self::Swtpm { .. })
    }

    pub(crate) fn device(&self) -> Option<&Path> {
        match self {
            Self::Device(path) => Some(path),
            Self::Swtpm { .. } => None,
        }
    }

    pub(crate) fn name_conf(&self) -> Result<TctiNameConf, tss_esapi::Error> {
        match self {
            Self::Device(path) => Ok(TctiNameConf::Device(DeviceConfig::from_str(&path.to_string_lossy())?)),
            Self::Swtpm { host, port } => {
                Ok(TctiNameConf::Swtpm(NetworkTPMConfig::from_str(&format!("host={host},port={port}"))?))
            }
        }
    }
}

impl FromStr for Tcti {
    type Err = TctiError;

    fn from_str(text: &str) -> Result<Self, TctiError> {
        if let Some(path) = text.strip_prefix("device:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Device(path)) } else { Err(TctiError::Form) };
        }
        let rest = text.strip_prefix("swtpm:").ok_or(TctiError::Form)?;
        if rest.starts_with("path=") {
            return Err(TctiError::UnixSocket);
        }
        let (host, port) = rest.split_once(',').ok_or(TctiError::Form)?;
        let host = host.strip_prefix("host=").filter(|host| is_host(host)).ok_or(TctiError::Form)?;
        let port = port.strip_prefix("port=").and_then(|port| port.parse().ok()).ok_or(TctiError::Form)?;
        Ok(Self::Swtpm { host: host.to_owned(), port })
    }
}

fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    (1..=253).contains(&host.len()) && host.chars().all(allowed)
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        for text in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321", "swtpm:host=localhost,port=1"] {
            assert_eq!(text.parse::<Tcti>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_instead_of_meaning_the_default() {
        for text in [
            "",
            "device",
            "device:",
            "device:tpm0",
            "swtpm",
            "swtpm:",
            "swtpm:port=1",
            "swtpm:port=1,host=a",
            "swtpm:host=,port=1",
            "swtpm:host=a,port=65536",
            "swtpm:host=a b,port=1",
            "swtpm:host=a,port=1,x=2",
            "tabrmd:",
        ] {
            assert_eq!(text.parse::<Tcti>(), Err(TctiError::Form), "{text}");
        }
        assert_eq!("swtpm:path=/run/tpm".parse::<Tcti>(), Err(TctiError::UnixSocket));
    }
}
