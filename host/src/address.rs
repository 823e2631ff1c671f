//! Where the enclave listens.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::frame;
use vouchsafe_protocol::limits::LINK_FRAME_LEN;
use vouchsafe_protocol::link::LinkHello;

/// Longest wait for the enclave to accept a connection: it is on the same machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Address of the enclave: `unix:PATH` or `vsock:CID:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnclaveAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A virtual machine socket.
    Vsock {
        /// Context id of the machine that runs the enclave.
        cid: u32,
        /// Port inside it.
        port: u32,
    },
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `unix:` nor `vsock:`.
    #[error("an enclave address is unix:PATH or vsock:CID:PORT")]
    Scheme,
    /// `unix:` without a path.
    #[error("unix: needs the path of the enclave's socket, as in unix:/run/vouchsafe/enclave.sock")]
    Path,
    /// `vsock:` without two numbers.
    #[error("vsock: needs two numbers, as in vsock:3:8600")]
    Numbers,
}

impl FromStr for EnclaveAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(AddressError::Path) } else { Ok(Self::Unix(path.into())) };
        }
        let numbers = text.strip_prefix("vsock:").ok_or(AddressError::Scheme)?;
        let (cid, port) = numbers.split_once(':').ok_or(AddressError::Numbers)?;
        let number = |digits: &str| digits.parse().map_err(|_| AddressError::Numbers);
        Ok(Self::Vsock { cid: number(cid)?, port: number(port)? })
    }
}

impl fmt::Display for EnclaveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

/// A byte stream to the enclave.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Why the enclave cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no enclave answers at {address}; start vouchsafe-enclave, or correct --enclave")]
    Connect { address: EnclaveAddress, source: io::Error },
    #[error("the enclave at {address} does not accept within {} seconds", CONNECT_TIMEOUT.as_secs())]
    Timeout { address: EnclaveAddress },
    #[error("the enclave at {address} closed the connection at once")]
    Hello { address: EnclaveAddress, source: io::Error },
    #[error("the opening frame cannot be encoded")]
    Encode(#[from] CodecError),
}

impl EnclaveAddress {
    /// Connects and says what the connection is for.
    pub(crate) async fn open(&self, hello: LinkHello) -> Result<Box<dyn ByteStream>, ConnectError> {
        let frame = frame::enclose(&codec::encode(&hello)?, LINK_FRAME_LEN)?;
        let opened = async {
            let connected = self.connect().await;
            let mut stream =
                connected.map_err(|source| ConnectError::Connect { address: self.clone(), source })?;
            let sent = stream.write_all(&frame).await;
            sent.map_err(|source| ConnectError::Hello { address: self.clone(), source })?;
            Ok(stream)
        };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opened).await;
        opened.unwrap_or_else(|_| Err(ConnectError::Timeout { address: self.clone() }))
    }

    async fn connect(&self) -> io::Result<Box<dyn ByteStream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Vsock { cid, port } => Box::new(VsockStream::connect(VsockAddr::new(*cid, *port)).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in ["unix:/run/vouchsafe/enclave.sock", "vsock:3:8600"] {
            assert_eq!(text.parse::<EnclaveAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_by_what_is_wrong() {
        for (text, error) in [
            ("/run/enclave.sock", AddressError::Scheme),
            ("tcp:127.0.0.1:1", AddressError::Scheme),
            ("unix:", AddressError::Path),
            ("vsock:3", AddressError::Numbers),
            ("vsock:3:", AddressError::Numbers),
            ("vsock:-1:5", AddressError::Numbers),
            ("vsock:4294967296:5", AddressError::Numbers),
        ] {
            assert_eq!(text.parse::<EnclaveAddress>(), Err(error), "{text}");
        }
    }
}
