//! Child processes: started, heard, watched and stopped by their ids.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::failure::Problem;

/// Time for a child to stop in order.
const PATIENCE: Duration = Duration::from_secs(15);
/// Lines of a child's log that are shown when it dies.
const LAST_LINES: usize = 5;

/// One of Vouchsafe's own programs.
pub(super) struct Program(PathBuf);

impl Program {
    /// Beside this program, or in `$PATH`.
    pub(super) fn find(name: &str) -> Result<Self> {
        let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(name)));
        beside.filter(|path| path.is_file()).or_else(|| in_path(name)).map(Self).ok_or_else(|| {
            Problem::new("program-missing", format!("there is no {name} beside this program or in PATH"))
                .hint("install all of vouchsafe's programs; in its source tree: cargo build --bins")
                .into()
        })
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// How to call this program in a shell.
pub(super) fn shown_program() -> String {
    if in_path("vouchsafe").is_some() {
        return "vouchsafe".to_owned();
    }
    std::env::current_exe().map_or_else(|_| "vouchsafe".to_owned(), |path| path.display().to_string())
}

/// A running child.
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    stdout: Option<ChildStdout>,
    log: PathBuf,
    /// Whether the log is still there when an error is read: not in a temporary directory.
    log_stays: bool,
}

impl Child {
    /// Starts it in a process group of its own: Ctrl-C reaches this program alone, which stops its children in
    /// order. Its standard error goes to the log.
    pub(super) fn start(
        program: &Program,
        arguments: &[OsString],
        (log, log_stays): (&Path, bool),
    ) -> Result<Self> {
        let Program(path) = program;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let errors = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut process = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let stdout = process.stdout.take();
        Ok(Self { name, process, stdout, log: log.to_owned(), log_stays })
    }

    /// Waits for its line `listening {...}`.
    pub(super) async fn listening(&mut self, patience: Duration) -> Result<Value> {
        let stdout = self.stdout.take().context("a child is heard once")?;
        let mut lines = BufReader::new(stdout).lines();
        let heard = tokio::time::timeout(patience, lines.next_line()).await;
        let line = match heard {
            Ok(Ok(Some(line))) => line,
            // It has closed its output: it is ending, and the log says why.
            Ok(_) => return Err(self.died().await),
            Err(_) => return Err(self.failure("did not start in time")),
        };
        line.strip_prefix("listening ")
            .and_then(|fields| serde_json::from_str(fields).ok())
            .ok_or_else(|| self.failure("said something else than where it listens"))
    }

    /// Waits until it ends by itself.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => self.failure(&format!("ended ({status})")),
            Err(error) => anyhow::Error::new(error).context(format!("cannot wait for {}", self.name)),
        }
    }

    /// Stops it in order; by force if that takes too long.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        match tokio::time::timeout(PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failure(&format!("did not stop in order ({status})"))),
            Ok(Err(error)) => Err(error).with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => {
                self.process.kill().await.with_context(|| format!("cannot end {}", self.name))?;
                Err(self.failure("did not stop in time, and was ended"))
            }
        }
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n  ");
        let message = format!("{} {what}\n  {last}", self.name);
        let problem = Problem::new("child-died", message);
        match self.log_stays {
            true => problem.hint(format!("its log: {}", self.log.display())).into(),
            false => problem.hint("run it with --dir DIR to keep its log").into(),
        }
    }
}
