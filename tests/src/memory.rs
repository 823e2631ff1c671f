//! What is in a process: its memory as the kernel shows it to root, its command line and environment.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, ensure};

use crate::scan::{Report, Scan};

/// Read at once, in bytes.
const CHUNK: usize = 8 * 1024 * 1024;
/// Read again with the next chunk, in bytes: more than any form of a secret that is searched for.
const OVERLAP: usize = 256;

/// Searches all readable memory of a process.
///
/// # Errors
/// If it may not be read, which needs root or at least to be its parent.
pub fn scan_memory(scan: &Scan, pid: u32, report: &mut Report) -> anyhow::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("cannot read the memory map")?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("cannot open the memory")?;
    let before = report.bytes;
    for line in maps.lines() {
        let Some((begin, end)) = readable(line) else { continue };
        let mapped = line.split_whitespace().nth(5).unwrap_or("anonymous");
        let mut at = begin;
        while at < end {
            let len = usize::try_from(end - at)?.min(CHUNK);
            let mut bytes = vec![0; len];
            // A region may be gone by now, and some of the kernel's own are never readable.
            let Ok(read) = memory.read_at(&mut bytes, at) else { break };
            scan.bytes(&format!("memory {at:#x} ({mapped})"), bytes.get(..read).unwrap_or_default(), report);
            if read < len || len < CHUNK {
                break;
            }
            at += (len - OVERLAP) as u64;
        }
    }
    ensure!(report.bytes - before > CHUNK as u64 / 8, "hardly any memory of process {pid} can be read");
    Ok(())
}

/// Begin and end of a region that can be read.
fn readable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (begin, end) = range.split_once('-')?;
    let kernel = rest.contains("[vvar") || rest.contains("[vsyscall]");
    if !rest.starts_with('r') || kernel {
        return None;
    }
    Some((u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

/// Searches what any user sees of a process, and what its own user does.
///
/// # Errors
/// If it is gone.
pub fn scan_proc(scan: &Scan, pid: u32, report: &mut Report) -> anyhow::Result<()> {
    for file in ["cmdline", "comm", "environ"] {
        let path = format!("/proc/{pid}/{file}");
        scan.bytes(&path, &fs::read(&path).with_context(|| format!("cannot read {path}"))?, report);
    }
    Ok(())
}
