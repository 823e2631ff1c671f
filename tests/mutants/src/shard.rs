//! Runs the runner: several processes, each with its share of the places, started again where a defect ends one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// No case takes this long; a defect that makes one is noticed.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Address space of a runner in KiB: a defect that fills memory is noticed.
const MEMORY_KIB: u64 = 6 * 1024 * 1024;

/// What a runner tells, one per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Cases are ready; nothing is in force yet.
    Ready {
        /// How many.
        cases: usize,
        /// Cases that fail without any defect; they are left out.
        failing: Vec<String>,
    },
    /// Goes on with the place it is at.
    Alive,
    /// Begins with a place.
    Begin {
        /// Place.
        place: usize,
    },
    /// A case came out otherwise.
    Noticed {
        /// Place.
        place: usize,
        /// Case.
        by: String,
    },
    /// All cases that come to the place came out as they should.
    Unnoticed {
        /// Place.
        place: usize,
        /// How many come to it.
        cases: usize,
    },
    /// Nothing is left to do.
    Done,
}

/// How a defect fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A case came out otherwise.
    Noticed {
        /// Which.
        by: String,
    },
    /// A case did not end, or the process did.
    Stuck,
    /// Only a test of the crate noticed it.
    NoticedByTest {
        /// Which.
        by: String,
    },
    /// Nothing noticed it.
    Unnoticed {
        /// Cases and tests that come to the place.
        reached_by: usize,
    },
}

/// Runs every place in `processes` processes and hands each fate to `tell`.
pub fn run(
    runner: &Path,
    processes: usize,
    options: &[String],
    mut tell: impl FnMut(usize, Fate),
    mut note: impl FnMut(String),
) -> anyhow::Result<()> {
    let (sender, receiver) = channel();
    for share in 0..processes {
        let (sender, runner, options) = (sender.clone(), runner.to_owned(), options.to_vec());
        thread::spawn(move || {
            let outcome =
                one_share(&runner, share, processes, &options, |told| sender.send(Ok(told)).is_ok());
            if let Err(error) = outcome {
                // The receiver is gone only if the run is over anyway.
                drop(sender.send(Err(error)));
            }
        });
    }
    drop(sender);
    for event in receiver {
        match event? {
            Event::Fate(place, fate) => tell(place, fate),
            Event::Note(text) => note(text),
        }
    }
    Ok(())
}

enum Event {
    Fate(usize, Fate),
    Note(String),
}

fn one_share(
    runner: &Path,
    share: usize,
    shares: usize,
    options: &[String],
    mut tell: impl FnMut(Event) -> bool,
) -> anyhow::Result<()> {
    let mut from = 0;
    loop {
        let (mut child, lines) = start(runner, share, shares, from, options)?;
        let mut current = None;
        // Making the corpus takes a while.
        let mut patience = Duration::from_secs(300);
        let ended = loop {
            match lines.recv_timeout(patience) {
                Ok(Told::Ready { cases, failing }) => {
                    patience = PATIENCE;
                    if from == 0 && share == 0 {
                        tell(Event::Note(format!("{cases} cases")));
                        for case in failing {
                            tell(Event::Note(format!("fails without any defect, left out: {case}")));
                        }
                    }
                }
                Ok(Told::Alive) => {}
                Ok(Told::Begin { place }) => current = Some(place),
                Ok(Told::Noticed { place, by }) => {
                    current = None;
                    tell(Event::Fate(place, Fate::Noticed { by }));
                }
                Ok(Told::Unnoticed { place, cases }) => {
                    current = None;
                    tell(Event::Fate(place, Fate::Unnoticed { reached_by: cases }));
                }
                Ok(Told::Done) => break true,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break false,
            }
        };
        stop(&mut child)?;
        if ended {
            return Ok(());
        }
        let place = current.context("the runner ended between two defects")?;
        tell(Event::Fate(place, Fate::Stuck));
        from = place + 1;
    }
}

fn start(
    runner: &Path,
    share: usize,
    shares: usize,
    from: usize,
    options: &[String],
) -> anyhow::Result<(Child, Receiver<Told>)> {
    let mut child = Command::new("bash")
        .args(["-c", "ulimit -v \"$1\"; shift; exec \"$@\"", "bash", &MEMORY_KIB.to_string()])
        .arg(runner)
        .args(["--share", &share.to_string(), "--shares", &shares.to_string(), "--from", &from.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the runner cannot be started")?;
    let output = child.stdout.take().context("the runner has no output")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            let Ok(told) = serde_json::from_str(&line) else { continue };
            if sender.send(told).is_err() {
                return;
            }
        }
    });
    Ok((child, receiver))
}

fn stop(child: &mut Child) -> anyhow::Result<()> {
    // It may have ended by itself.
    drop(child.kill());
    child.wait().context("the runner cannot be waited for")?;
    Ok(())
}
