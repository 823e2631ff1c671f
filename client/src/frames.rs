//! Frames over any async byte stream, bounded before anything is allocated.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vouchsafe_protocol::codec::CodecError;
use vouchsafe_protocol::frame::{HEADER_LEN, body_len, enclose};
use zeroize::Zeroizing;

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other end hung up between frames or in one.
    #[error("the vault's host closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// The frame is empty or longer than its limit.
    #[error("the frame is refused")]
    Length(#[source] CodecError),
}

/// Reads one frame's body. Wiped on drop: it may hold a secret.
pub(crate) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await.map_err(io_error)?;
    let len = body_len(header, limit).map_err(FrameError::Length)?;
    let mut body = Zeroizing::new(vec![0; len]);
    stream.read_exact(&mut body).await.map_err(io_error)?;
    Ok(body)
}

/// Writes one frame.
pub(crate) async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
    limit: usize,
) -> Result<(), FrameError> {
    let frame = Zeroizing::new(enclose(body, limit).map_err(FrameError::Length)?);
    stream.write_all(&frame).await.map_err(io_error)?;
    stream.flush().await.map_err(io_error)
}

fn io_error(error: io::Error) -> FrameError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            FrameError::Closed
        }
        _ => FrameError::Io(error),
    }
}
