//! A host between the software and its TPM: it records all that passes, and may change answers (T14, T17).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Result;

use crate::process::free_pair;

/// Changes an answer in place, knowing its command. It must keep the length.
pub type Tamper = dyn Fn(&[u8], &mut [u8]) + Send + Sync;

/// A relay in front of a TPM. It stops when dropped.
pub struct Relay {
    port: u16,
    recorded: Arc<Mutex<Vec<u8>>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Puts a relay in front of the TPM on `tpm_port` that changes nothing.
    ///
    /// # Errors
    /// When no ports are free.
    pub fn recording(tpm_port: u16) -> Result<Self> {
        Self::tampering(tpm_port, Arc::new(|_: &[u8], _: &mut [u8]| {}))
    }

    /// Puts a relay in front of the TPM on `tpm_port` that changes answers.
    ///
    /// # Errors
    /// When no ports are free.
    pub fn tampering(tpm_port: u16, tamper: Arc<Tamper>) -> Result<Self> {
        let (port, commands, control) = free_pair()?;
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let record = Arc::clone(&recorded);
        let commands = serve(commands, Arc::clone(&stopped), move |client| {
            relay_commands(client, tpm_port, &record, &*tamper)
        });
        let control = serve(control, Arc::clone(&stopped), move |client| relay_control(client, tpm_port + 1));
        Ok(Self { port, recorded, stopped, threads: vec![commands, control] })
    }

    /// The configuration string of the TPM behind this relay.
    #[must_use]
    pub fn tcti(&self) -> String {
        crate::tcti(self.port)
    }

    /// Every byte of every command and answer so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        for port in [self.port, self.port + 1] {
            // Wakes the listener so that it sees the flag; if nobody listens, that is as good.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        }
        for thread in self.threads.drain(..) {
            // A relay thread that panicked has failed its test already.
            drop(thread.join());
        }
    }
}

/// One connection after another, as the TPM serves them.
fn serve(
    listener: TcpListener,
    stopped: Arc<AtomicBool>,
    relay: impl Fn(TcpStream) -> io::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            // A connection ends with an error when its client goes away; the next one is served.
            drop(relay(client));
        }
    })
}

fn relay_commands(
    mut client: TcpStream,
    tpm_port: u16,
    recorded: &Mutex<Vec<u8>>,
    tamper: &Tamper,
) -> io::Result<()> {
    let mut tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, tpm_port))?;
    loop {
        let command = read_packet(&mut client)?;
        record(recorded, &command);
        tpm.write_all(&command)?;
        let mut answer = read_packet(&mut tpm)?;
        record(recorded, &answer);
        tamper(&command, &mut answer);
        client.write_all(&answer)?;
    }
}

fn record(recorded: &Mutex<Vec<u8>>, bytes: &[u8]) {
    recorded.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
}

/// A command or answer: tag, length of all, code, rest.
fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 6];
    stream.read_exact(&mut packet)?;
    let len = packet.last_chunk::<4>().map_or(0, |len| u32::from_be_bytes(*len));
    let rest = u64::from(len).saturating_sub(6);
    stream.take(rest).read_to_end(&mut packet)?;
    Ok(packet)
}

/// Control commands pass unseen; they carry no TPM data.
fn relay_control(client: TcpStream, control_port: u16) -> io::Result<()> {
    let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, control_port))?;
    let (mut from_client, mut to_tpm) = (client.try_clone()?, tpm.try_clone()?);
    let up = thread::spawn(move || {
        // Ends when either side closes; then the other direction must end too.
        drop(io::copy(&mut from_client, &mut to_tpm));
        drop(to_tpm.shutdown(std::net::Shutdown::Both));
    });
    let (mut from_tpm, mut to_client) = (tpm, client);
    io::copy(&mut from_tpm, &mut to_client)?;
    to_client.shutdown(std::net::Shutdown::Both)?;
    up.join().map_err(|_| io::Error::other("a relay thread panicked"))
}
