//! The enclave's one listening socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

use crate::config::Address;
use crate::frames::Stream;

/// Only the user that runs the enclave may connect; a host under another user gets in by an ACL or a group.
const SOCKET_MODE: u32 = 0o600;

/// Why the enclave cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Binding failed.
    #[error("cannot listen at {address}; does the directory exist, and may this user write to it?")]
    Bind {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// Another process answers there.
    #[error("another process is listening at {}; stop it or choose another address", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is not a socket is in the way.
    #[error("{} exists and is not a socket; choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// What is there cannot be examined or removed.
    #[error("cannot replace the old socket {}", path.display())]
    Stale {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

enum Socket {
    Unix(UnixListener),
    Vsock(VsockListener),
}

/// A bound socket. A Unix socket is removed again when this is dropped.
pub(crate) struct Listener {
    address: Address,
    socket: Socket,
}

impl Listener {
    pub(crate) async fn bind(address: &Address) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address: address.clone(), source };
        let socket = match address {
            Address::Unix(path) => {
                clear(path).await?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
                Socket::Unix(listener)
            }
            Address::Vsock(port) => {
                Socket::Vsock(VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port)).map_err(failed)?)
            }
        };
        Ok(Self { address: address.clone(), socket })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        Ok(match &self.socket {
            Socket::Unix(listener) => Box::new(listener.accept().await?.0),
            Socket::Vsock(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(kind = %error.kind(), "the socket was removed by somebody else");
        }
    }
}

/// Removes a socket that a process left behind, if and only if nobody answers on it.
async fn clear(path: &Path) -> Result<(), ListenError> {
    let path_buf = || path.to_path_buf();
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(ListenError::Stale { path: path_buf(), source }),
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path_buf() });
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::InUse { path: path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| ListenError::Stale { path: path_buf(), source })
        }
        Err(source) => Err(ListenError::Stale { path: path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_use_is_kept_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("enclave.sock");
        let address = Address::Unix(path.clone());
        let first = Listener::bind(&address).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert!(matches!(Listener::bind(&address).await, Err(ListenError::InUse { .. })));
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Listener::bind(&address).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        fs::write(&path, "keep").unwrap();
        let error = Listener::bind(&Address::Unix(path.clone())).await.err().unwrap();
        assert!(matches!(error, ListenError::NotASocket { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep");
        let nowhere = Address::Unix(dir.path().join("missing").join("enclave.sock"));
        assert!(matches!(Listener::bind(&nowhere).await, Err(ListenError::Bind { .. })));
    }
}
