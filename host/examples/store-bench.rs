//! Measures the two candidate stores for the journal: durable appends and recovery.
//!
//! `cargo run --release -p vouchsafe-host --example store-bench -- [--dir D] [--appends N] [--records N]`
//!
//! Both run what the host does: one frame per durable commit, in order, as group commit in the enclave makes
//! of many requests one frame; then a store of many small records that is killed and opened again. A bare
//! `write` and `fdatasync` on a preallocated file is the limit of the disk in the same run.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a measurement")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

const FRAMES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("frames");

/// Compares stores.
#[derive(Parser)]
struct Arguments {
    /// Where to write; on the disk to be measured.
    #[arg(long, default_value = "target/store-bench")]
    dir: PathBuf,
    /// Durable appends per frame size.
    #[arg(long, default_value_t = 2000)]
    appends: u64,
    /// Records in the store that is recovered.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Bytes in each of those records.
    #[arg(long, default_value_t = 256)]
    record_len: usize,
    /// Internal: fill a store and die without closing it.
    #[arg(long)]
    fill: Option<Which>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Which {
    Fjall,
    Redb,
}

trait Candidate {
    /// Makes these durable in one commit.
    fn append(&mut self, from: u64, frames: &[Vec<u8>]);
    /// Reads everything in order and returns (records, bytes).
    fn scan(&self) -> (u64, u64);
}

struct Fjall {
    database: Database,
    frames: fjall::Keyspace,
}

impl Fjall {
    fn open(dir: &Path) -> Self {
        let database = Database::builder(dir.join("fjall")).open().unwrap();
        let frames = database.keyspace("frames", KeyspaceCreateOptions::default).unwrap();
        Self { database, frames }
    }
}

impl Candidate for Fjall {
    fn append(&mut self, from: u64, frames: &[Vec<u8>]) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (index, frame) in (from..).zip(frames) {
            batch.insert(&self.frames, index.to_be_bytes(), frame.as_slice());
        }
        batch.commit().unwrap();
    }

    fn scan(&self) -> (u64, u64) {
        self.frames.iter().fold((0, 0), |(records, bytes), entry| {
            (records + 1, bytes + entry.value().unwrap().len() as u64)
        })
    }
}

struct Redb(redb::Database);

impl Redb {
    fn open(dir: &Path) -> Self {
        Self(redb::Database::create(dir.join("frames.redb")).unwrap())
    }
}

impl Candidate for Redb {
    fn append(&mut self, from: u64, frames: &[Vec<u8>]) {
        let transaction = self.0.begin_write().unwrap();
        {
            let mut table = transaction.open_table(FRAMES).unwrap();
            for (index, frame) in (from..).zip(frames) {
                table.insert(index.to_be_bytes().as_slice(), frame.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    fn scan(&self) -> (u64, u64) {
        let transaction = self.0.begin_read().unwrap();
        let table = transaction.open_table(FRAMES).unwrap();
        table.iter().unwrap().fold((0, 0), |(records, bytes), entry| {
            (records + 1, bytes + entry.unwrap().1.value().len() as u64)
        })
    }
}

/// The limit: the bytes in place on a preallocated file, `fdatasync` after each frame.
struct Bare(File);

impl Bare {
    fn open(dir: &Path) -> Self {
        let mut file = File::create(dir.join("bare")).unwrap();
        for _ in 0..256 {
            file.write_all(&vec![0; 1024 * 1024]).unwrap();
        }
        file.sync_all().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        Self(file)
    }
}

impl Candidate for Bare {
    fn append(&mut self, _: u64, frames: &[Vec<u8>]) {
        for frame in frames {
            self.0.write_all(frame).unwrap();
        }
        self.0.sync_data().unwrap();
    }

    fn scan(&self) -> (u64, u64) {
        (0, 0)
    }
}

fn open(which: Which, dir: &Path) -> Box<dyn Candidate> {
    match which {
        Which::Fjall => Box::new(Fjall::open(dir)),
        Which::Redb => Box::new(Redb::open(dir)),
    }
}

/// Bytes that do not compress, as sealed frames do not.
fn frame(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn appends(name: &str, store: &mut dyn Candidate, arguments: &Arguments, len: usize) {
    let frames: Vec<_> = (0..64).map(|seed| vec![frame(len, seed)]).collect();
    let mut times: Vec<Duration> = (0..arguments.appends)
        .map(|index| {
            let start = Instant::now();
            store.append(index, &frames[index as usize % frames.len()]);
            start.elapsed()
        })
        .collect();
    let total: Duration = times.iter().sum();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 1000].as_micros();
    println!(
        "append {name:>6} {:>3} KiB: {:>6.0}/s, p50 {} us, p99 {} us, p99.9 {} us",
        len / 1024,
        arguments.appends as f64 / total.as_secs_f64(),
        at(500),
        at(990),
        at(999),
    );
}

fn fill(which: Which, arguments: &Arguments) {
    let mut store = open(which, &arguments.dir);
    let start = Instant::now();
    for from in (0..arguments.records).step_by(1000) {
        let frames: Vec<_> = (from..from + 1000).map(|seed| frame(arguments.record_len, seed)).collect();
        store.append(from, &frames);
    }
    println!("fill   {which:?} {} records, 1000 per commit: {:?}", arguments.records, start.elapsed());
    // Dies with the store open, as after kill -9.
    std::process::abort();
}

fn disk_len(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                disk_len(&entry.path())
            } else {
                std::os::unix::fs::MetadataExt::blocks(&metadata) * 512
            }
        })
        .sum()
}

fn recover(which: Which, arguments: &Arguments) {
    fresh(&arguments.dir);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--fill", &format!("{which:?}").to_lowercase()])
        .arg("--dir")
        .arg(&arguments.dir)
        .args(["--records", &arguments.records.to_string()])
        .args(["--record-len", &arguments.record_len.to_string()])
        .status()
        .unwrap();
    assert!(!status.success());
    println!("disk   {which:?} {} MiB", disk_len(&arguments.dir) / 1024 / 1024);
    for kind in ["killed", "closed"] {
        let start = Instant::now();
        let store = open(which, &arguments.dir);
        let opened = start.elapsed();
        let (records, bytes) = store.scan();
        println!(
            "open   {which:?} after {kind}: {opened:?}, then all {records} records ({} MiB) read in {:?}, resident {} MiB",
            bytes / 1024 / 1024,
            start.elapsed() - opened,
            resident() / 1024,
        );
        drop(store);
    }
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn fresh(dir: &Path) {
    if dir.exists() {
        std::fs::remove_dir_all(dir).unwrap();
    }
    std::fs::create_dir_all(dir).unwrap();
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(which) = arguments.fill {
        return fill(which, &arguments);
    }
    for len in [8 * 1024, 64 * 1024] {
        fresh(&arguments.dir);
        appends("bare", &mut Bare::open(&arguments.dir), &arguments, len);
        for which in [Which::Fjall, Which::Redb] {
            fresh(&arguments.dir);
            appends(&format!("{which:?}"), open(which, &arguments.dir).as_mut(), &arguments, len);
        }
    }
    for which in [Which::Fjall, Which::Redb] {
        recover(which, &arguments);
    }
    std::fs::remove_dir_all(&arguments.dir).unwrap();
}
