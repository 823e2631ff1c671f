//! The `swtpm` process: two consecutive ports of 127.0.0.1, ready when it answers, ended by process id.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Ports are searched here: below Linux's range for outgoing connections (32768 and up).
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Pairs tried before giving up.
const ATTEMPTS: u32 = 200;
/// `CMD_GET_CAPABILITY` of swtpm's control protocol.
const GET_CAPABILITY: u32 = 1;
/// `CMD_SHUTDOWN`.
const SHUTDOWN: u32 = 3;

pub(crate) struct Process {
    pid: Option<Pid>,
    port: u16,
}

impl Process {
    pub(crate) fn start(state: &Path) -> Result<Self> {
        for port in candidates() {
            if bind_pair(port).is_ok()
                && let Some(pid) = spawn(state, port)?
            {
                return Ok(Self { pid: Some(pid), port });
            }
        }
        bail!("no two free neighbouring ports between {} and {}", PORTS.start, PORTS.end)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid.map(|pid| pid.as_raw_nonzero().get())
    }

    /// Ends the process and starts another on the same ports, so that the TCTI string stays good.
    pub(crate) fn restart(&mut self, state: &Path) -> Result<()> {
        self.stop()?;
        self.pid = spawn(state, self.port)?;
        ensure!(self.pid.is_some(), "swtpm did not come back on port {}", self.port);
        Ok(())
    }

    pub(crate) fn leave_running(mut self) -> u16 {
        self.pid = None;
        self.port
    }

    /// Kills exactly the process that was started here and waits for its end.
    fn stop(&mut self) -> Result<()> {
        let Some(pid) = self.pid.take() else { return Ok(()) };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        kill_process(pid, Signal::KILL).context("cannot end swtpm")?;
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).context("cannot wait for swtpm's end")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only when the process has ended already, which is what is wanted.
        drop(self.stop());
    }
}

/// Two neighbouring ports, bound.
pub(crate) fn free_pair() -> Result<(u16, TcpListener, TcpListener)> {
    for port in candidates() {
        if let Ok((first, second)) = bind_pair(port) {
            return Ok((port, first, second));
        }
    }
    bail!("no two free neighbouring ports between {} and {}", PORTS.start, PORTS.end)
}

/// The first ports of pairs to try, spread by process id, so that tests running side by side rarely meet.
fn candidates() -> impl Iterator<Item = u16> {
    let span = u32::from((PORTS.end - PORTS.start) / 2);
    let first = std::process::id().wrapping_mul(37);
    (0..ATTEMPTS).filter_map(move |attempt| {
        let pair = first.wrapping_add(attempt.wrapping_mul(101)) % span;
        Some(PORTS.start + u16::try_from(pair * 2).ok()?)
    })
}

/// Binds both ports, or finds one taken. Between this and swtpm's own binding is a race that `spawn` catches.
fn bind_pair(port: u16) -> io::Result<(TcpListener, TcpListener)> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    Ok((bind(port)?, bind(port + 1)?))
}

/// `None` when a port was taken meanwhile: swtpm binds both before it becomes a daemon.
fn spawn(state: &Path, port: u16) -> Result<Option<Pid>> {
    let control = port + 1;
    let pid_file = state.join("pid");
    let status = Command::new("swtpm")
        .args(["socket", "--daemon", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--pid")
        .arg(format!("file={}", pid_file.display()))
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={control},bindaddr=127.0.0.1"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run swtpm; install the package swtpm")?;
    if !status.success() {
        return Ok(None);
    }
    // Once it answers it has written its process id.
    control_command(control, GET_CAPABILITY)?;
    let text = fs::read_to_string(&pid_file).context("swtpm wrote no process id")?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    Ok(Some(pid.context("swtpm's process id is not a number")?))
}

pub(crate) fn shut_down(port: u16) -> Result<()> {
    let control = port.checked_add(1).context("no such port")?;
    control_command(control, SHUTDOWN)
}

fn control_command(control: u16, command: u32) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, control))
        .with_context(|| format!("no swtpm answers on port {control}"))?;
    stream.write_all(&command.to_be_bytes())?;
    let mut result = [0; 4];
    stream.read_exact(&mut result)?;
    ensure!(command == GET_CAPABILITY || result == [0; 4], "swtpm refused a control command");
    Ok(())
}
