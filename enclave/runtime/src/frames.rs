//! Framed reads and writes. Who calls them: every connection. Who controls what is read: the host, or an agent
//! behind it. What must stay true: nothing is reserved beyond a stated limit, and no page is touched before the
//! bytes for it have arrived.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vouchsafe_protocol::codec::CodecError;
use vouchsafe_protocol::frame::{self, HEADER_LEN};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that are made ready for arriving data at a time.
const STEP_LEN: usize = 16 * 1024;
/// A buffer that has grown beyond this many bytes is given back after use, so that idle connections are small.
const KEPT_LEN: usize = 16 * 1024;

/// A stream of bytes to the host.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A stream of bytes to the host, whatever it runs over.
pub(crate) type Stream = Box<dyn ByteStream>;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the other side closed the connection")]
    Closed,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

/// A buffer for one frame after another. Wiped between them: a frame may hold a secret.
#[derive(Default)]
pub(crate) struct FrameBuffer(Zeroizing<Vec<u8>>);

impl FrameBuffer {
    /// Forgets the frame.
    pub(crate) fn wipe(&mut self) {
        self.0.zeroize();
        if self.0.capacity() > KEPT_LEN {
            self.0 = Zeroizing::default();
        }
    }

    /// Reads one frame of at most `limit` bytes.
    pub(crate) async fn read<R>(&mut self, from: &mut R, limit: usize) -> Result<&[u8], FrameError>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        self.wipe();
        let mut header = [0; HEADER_LEN];
        from.read_exact(&mut header).await.map_err(broken)?;
        let len = frame::body_len(header, limit)?;
        // Reserved once, so that growing leaves no copy behind; reserved pages cost nothing until touched.
        self.0.reserve_exact(len);
        while self.0.len() < len {
            let start = self.0.len();
            self.0.resize(len.min(start + STEP_LEN), 0);
            let arriving = self.0.get_mut(start..).unwrap_or_default();
            from.read_exact(arriving).await.map_err(broken)?;
        }
        Ok(&self.0)
    }
}

/// Adds one frame to a buffer.
pub(crate) fn append(to: &mut Vec<u8>, body: &[u8], limit: usize) -> Result<(), CodecError> {
    let len = u32::try_from(body.len()).map_err(|_| CodecError::TooLong { len: body.len(), limit })?;
    frame::body_len(len.to_be_bytes(), limit)?;
    to.extend_from_slice(&len.to_be_bytes());
    to.extend_from_slice(body);
    Ok(())
}

/// Writes one frame and flushes it.
pub(crate) async fn write<W>(to: &mut W, body: &[u8], limit: usize) -> Result<(), FrameError>
where
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut framed = Zeroizing::new(Vec::with_capacity(HEADER_LEN + body.len()));
    append(&mut framed, body, limit)?;
    to.write_all(&framed).await.map_err(broken)?;
    to.flush().await.map_err(broken)
}

fn broken(error: io::Error) -> FrameError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FrameError::Closed,
        _ => FrameError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h7_a_frame_beyond_its_limit_is_refused_before_its_body_is_read() {
        let mut buffer = FrameBuffer::default();
        let mut input: &[u8] = &[0, 0, 0, 9, 1];
        let error = buffer.read(&mut input, 8).await.unwrap_err();
        assert!(matches!(error, FrameError::Codec(CodecError::TooLong { len: 9, limit: 8 })));
        assert_eq!(input, [1]);
        let mut empty: &[u8] = &[0, 0, 0, 0];
        let error = buffer.read(&mut empty, 8).await.unwrap_err();
        assert!(matches!(error, FrameError::Codec(CodecError::Malformed)));
    }

    #[tokio::test]
    async fn h7_a_frame_cut_short_is_an_end_and_not_a_message() {
        for len in 0..8 {
            let mut input = [0, 0, 0, 4, 1, 2, 3, 4].get(..len).unwrap();
            let error = FrameBuffer::default().read(&mut input, 8).await.unwrap_err();
            assert!(matches!(error, FrameError::Closed));
        }
    }

    #[tokio::test]
    async fn v6_a_large_frame_arrives_whole_and_its_buffer_is_given_back() {
        let body: Vec<u8> = (0..STEP_LEN * 3 + 5).map(|at| at as u8).collect();
        let mut wire = Vec::new();
        write(&mut wire, &body, body.len()).await.unwrap();
        let mut buffer = FrameBuffer::default();
        assert_eq!(buffer.read(&mut wire.as_slice(), body.len()).await.unwrap(), body);
        buffer.wipe();
        assert!(buffer.0.is_empty() && buffer.0.capacity() <= KEPT_LEN);
    }
}
