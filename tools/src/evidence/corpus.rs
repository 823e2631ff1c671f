//! `evidence corpus`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use vouchsafe_evidence::{Expect, Suite, corpus};

use crate::failure::Problem;

/// What was written.
pub(super) struct Written {
    dir: PathBuf,
    seed: u64,
    accepted: usize,
    refused: usize,
    files: usize,
}

/// Makes the corpus of a seed and writes it.
///
/// # Errors
/// A directory that cannot be written.
pub(super) fn write(dir: &Path, seed: u64) -> anyhow::Result<Written> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let what = format!("{} is not empty", dir.display());
        return Err(Problem::usage(what).hint("name a directory that is empty or not there").into());
    }
    let suite = corpus::generate(seed).context("the corpus cannot be made")?;
    suite.write(dir)?;
    let readme = dir.join(corpus::README);
    fs::write(&readme, corpus::describe(&suite))
        .with_context(|| format!("cannot write {}", readme.display()))?;
    let Suite { document, files } = &suite;
    let accepted = document.cases.iter().filter(|case| case.expect == Expect::Valid).count();
    Ok(Written {
        dir: dir.to_owned(),
        seed,
        accepted,
        refused: document.cases.len() - accepted,
        files: files.len(),
    })
}

impl Written {
    pub(super) fn to_json(&self) -> Value {
        let Self { dir, seed, accepted, refused, files } = self;
        json!({
            "dir": dir,
            "seed": seed,
            "cases": { "to_accept": accepted, "to_refuse": refused },
            "files": files,
        })
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { dir, seed, accepted, refused, files } = self;
        writeln!(
            out,
            "{} cases ({accepted} to accept, {refused} to refuse) with {files} files in {}, from seed {seed}",
            accepted + refused,
            dir.display()
        )
    }
}
