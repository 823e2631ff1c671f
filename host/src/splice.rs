//! Moves bytes between an agent and the enclave, unread.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Bytes buffered in each direction: one TLS record.
const BUFFER_LEN: usize = 16 * 1024;

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// One side broke off.
    Broken,
    /// Both sides closed.
    Closed,
    /// It lasted longer than it may.
    Expired,
    /// No byte moved for too long.
    Idle,
}

/// How long a relayed connection may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    /// In total; for what is not authenticated, so that a drop of bytes now and then does not prolong it.
    AtMost(Duration),
    /// As long as a byte moves at least this often.
    WhileActive(Duration),
}

/// Counts the bytes of each direction.
#[derive(Clone)]
pub(crate) struct Volume {
    pub(crate) from_agent: Counter,
    pub(crate) to_agent: Counter,
}

/// Splices until both directions have ended, one breaks, or the lifetime is over. A direction that ends is
/// closed for writing on the other side; the other direction goes on.
pub(crate) async fn splice<A, E>(agent: A, enclave: E, lifetime: Lifetime, volume: &Volume) -> End
where
    A: AsyncRead + AsyncWrite,
    E: AsyncRead + AsyncWrite,
{
    let started = Instant::now();
    let last_millis = AtomicU64::new(0);
    let active = || {
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        last_millis.store(millis, Ordering::Relaxed);
    };
    let (agent_read, agent_write) = tokio::io::split(agent);
    let (enclave_read, enclave_write) = tokio::io::split(enclave);
    let both = async {
        tokio::try_join!(
            pump(agent_read, enclave_write, &active, &volume.from_agent),
            pump(enclave_read, agent_write, &active, &volume.to_agent),
        )
    };
    let deadline = async {
        match lifetime {
            Lifetime::AtMost(limit) => {
                tokio::time::sleep_until(started + limit).await;
                End::Expired
            }
            Lifetime::WhileActive(limit) => loop {
                let last = started + Duration::from_millis(last_millis.load(Ordering::Relaxed));
                if last + limit <= Instant::now() {
                    return End::Idle;
                }
                tokio::time::sleep_until(last + limit).await;
            },
        }
    };
    tokio::select! {
        result = both => if result.is_ok() { End::Closed } else { End::Broken },
        end = deadline => end,
    }
}

/// One direction, until its end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    active: &impl Fn(),
    volume: &Counter,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let len = from.read(&mut buffer).await?;
        active();
        let mut rest = buffer.get(..len).unwrap_or_default();
        if rest.is_empty() {
            return to.shutdown().await;
        }
        volume.increment(rest.len() as u64);
        while !rest.is_empty() {
            let written = to.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
            active();
        }
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn volume() -> Volume {
        Volume { from_agent: Counter::noop(), to_agent: Counter::noop() }
    }

    fn spliced(lifetime: Lifetime) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<End>) {
        let (agent, host_agent) = duplex(64);
        let (enclave, host_enclave) = duplex(64);
        let task = tokio::spawn(async move { splice(host_agent, host_enclave, lifetime, &volume()).await });
        (agent, enclave, task)
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_connection_still_answers() {
        let (mut agent, mut enclave, task) = spliced(Lifetime::WhileActive(Duration::from_secs(9)));
        agent.write_all(b"question").await.unwrap();
        agent.shutdown().await.unwrap();
        let mut heard = Vec::new();
        enclave.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        enclave.write_all(b"answer").await.unwrap();
        drop(enclave);
        heard.clear();
        agent.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
        assert_eq!(task.await.unwrap(), End::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn v10_a_silent_connection_is_reaped_and_a_slow_active_one_is_not() {
        let (mut agent, mut enclave, task) = spliced(Lifetime::WhileActive(Duration::from_secs(10)));
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            agent.write_all(b".").await.unwrap();
            enclave.read_u8().await.unwrap();
        }
        let quiet_since = Instant::now();
        assert_eq!(task.await.unwrap(), End::Idle);
        assert_eq!(quiet_since.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn v10_an_unauthenticated_connection_cannot_prolong_itself_byte_by_byte() {
        let (mut agent, mut enclave, task) = spliced(Lifetime::AtMost(Duration::from_secs(60)));
        let started = Instant::now();
        let drip = async {
            while agent.write_all(b".").await.is_ok() {
                if enclave.read_u8().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(drip, async {
            assert_eq!(task.await.unwrap(), End::Expired);
            assert_eq!(started.elapsed().as_secs(), 60);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn v10_a_peer_that_does_not_read_is_reaped_with_bounded_buffers() {
        let (agent, mut enclave, task) = spliced(Lifetime::WhileActive(Duration::from_secs(10)));
        let flood = tokio::spawn(async move {
            let mut sent = 0;
            while enclave.write_all(&[0; 1024]).await.is_ok() {
                sent += 1024;
            }
            sent
        });
        assert_eq!(task.await.unwrap(), End::Idle);
        assert!(flood.await.unwrap() <= BUFFER_LEN + 1024);
        drop(agent);
    }
}
