//! A search for many secrets at once in everything that a host ever held: raw, hexadecimal, and base64 at every
//! alignment.
//!
//! What is searched for is the beginning of each secret ([`PREFIX_LEN`] bytes of it) in every form: random values do
//! not begin alike by chance, and a leak that was cut short is found, too.

use std::fs;
use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// Bytes of each secret that are searched for. Fewer are found by chance: six hexadecimal digits, in hexadecimal
/// once more, look like a table of decimal numbers.
pub const PREFIX_LEN: usize = 12;

/// How a secret may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Base64 or base64url, with so many bytes before it modulo 3.
    Base64(usize),
    /// Hexadecimal, lower or upper case.
    Hex,
    /// As it is.
    Raw,
}

/// A secret that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which: its position in the list that the scan was made of.
    pub secret: usize,
    /// In which form.
    pub form: Form,
    /// Where: what was searched, and the offset in it in bytes.
    pub place: String,
}

/// What has been searched, and what was found in it.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes searched.
    pub bytes: u64,
    /// Files, recordings and regions of memory searched.
    pub pieces: u64,
    /// Every find, in order.
    pub found: Vec<Found>,
}

impl Report {
    /// How many different secrets were found.
    #[must_use]
    pub fn secrets(&self) -> usize {
        let mut secrets: Vec<_> = self.found.iter().map(|found| found.secret).collect();
        secrets.sort_unstable();
        secrets.dedup();
        secrets.len()
    }

    /// Demands that something was searched and nothing found.
    ///
    /// # Errors
    /// With the first finds.
    pub fn nothing(&self) -> anyhow::Result<()> {
        ensure!(self.bytes > 0, "nothing was searched");
        let first: Vec<_> = self.found.iter().take(5).collect();
        ensure!(first.is_empty(), "{} of the secrets were found, as in {first:?}", self.secrets());
        Ok(())
    }
}

/// A search for a list of secrets.
pub struct Scan {
    automaton: AhoCorasick,
    /// By pattern: which secret, in which form.
    owners: Vec<(usize, Form)>,
}

impl Scan {
    /// Prepares the search.
    ///
    /// # Errors
    /// If a secret is too short to be told from chance.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> anyhow::Result<Self> {
        let (mut patterns, mut owners) = (Vec::new(), Vec::new());
        for (number, secret) in secrets.into_iter().enumerate() {
            let beginning = secret.get(..PREFIX_LEN).context("a short secret is found by chance")?;
            for (form, written) in forms(beginning) {
                patterns.push(written);
                owners.push((number, form));
            }
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns)?;
        Ok(Self { automaton, owners })
    }

    /// Searches bytes that are called `name`.
    pub fn bytes(&self, name: &str, bytes: &[u8], report: &mut Report) {
        report.bytes += bytes.len() as u64;
        report.pieces += 1;
        for hit in self.automaton.find_overlapping_iter(bytes) {
            if let Some((secret, form)) = self.owners.get(hit.pattern().as_usize()) {
                let place = format!("{name} at {}", hit.start());
                report.found.push(Found { secret: *secret, form: *form, place });
            }
        }
    }

    /// Searches every file below a path, and the names of the files themselves.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn files(&self, path: &Path, report: &mut Report) -> anyhow::Result<()> {
        let unreadable = || format!("cannot read {}", path.display());
        let name = path.display().to_string();
        let kind = fs::symlink_metadata(path).with_context(unreadable)?.file_type();
        if kind.is_dir() {
            for entry in fs::read_dir(path).with_context(unreadable)? {
                self.files(&entry.with_context(unreadable)?.path(), report)?;
            }
        } else if kind.is_file() {
            self.bytes(&name, &fs::read(path).with_context(unreadable)?, report);
        }
        self.bytes("the name of a file", name.as_bytes(), report);
        Ok(())
    }
}

fn forms(secret: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut forms = vec![
        (Form::Raw, secret.to_vec()),
        (Form::Hex, hex::encode(secret).into_bytes()),
        (Form::Hex, hex::encode_upper(secret).into_bytes()),
    ];
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        for before in 0..3 {
            forms.push((Form::Base64(before), base64_after(&engine, before, secret)));
        }
    }
    forms
}

/// The characters of base64 that depend on the secret alone, with so many bytes before it (modulo 3).
fn base64_after(engine: &GeneralPurpose, before: usize, secret: &[u8]) -> Vec<u8> {
    let bytes = [&vec![0; before], secret].concat();
    // The first and the last character may share bits with the byte before and the byte after.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    engine.encode(bytes).into_bytes().into_iter().take(end).skip(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The control of every scan that finds nothing: each form at each alignment is found.
    #[test]
    fn h1_every_form_is_found_at_every_alignment() {
        let secret: Vec<u8> = (0..24u8).map(|byte| byte.wrapping_mul(151) ^ 0xfb).collect();
        let scan = Scan::new([&b"sixteen bytes or more"[..], &secret]).unwrap();
        for before in 0..7 {
            let plain = [&b"xyzxyzx"[..before], &secret, b"tail"].concat();
            for written in [
                plain.clone(),
                hex::encode(&plain).into_bytes(),
                hex::encode_upper(&plain).into_bytes(),
                BASE64_STANDARD_NO_PAD.encode(&plain).into_bytes(),
                BASE64_URL_SAFE_NO_PAD.encode(&plain).into_bytes(),
            ] {
                let mut report = Report::default();
                scan.bytes("it", &written, &mut report);
                assert_eq!(report.secrets(), 1, "{}", String::from_utf8_lossy(&written));
                assert!(report.found.iter().all(|found| found.secret == 1));
                report.nothing().unwrap_err();
            }
        }
    }

    #[test]
    fn h1_names_of_files_are_searched_and_other_bytes_are_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let scan = Scan::new([&b"a-name-that-tells-much"[..]]).unwrap();
        let mut report = Report::default();
        std::fs::write(dir.path().join("other"), b"b-name-that-tells-much").unwrap();
        scan.files(dir.path(), &mut report).unwrap();
        report.nothing().unwrap();
        std::fs::create_dir(dir.path().join("a-name-that-tells-much")).unwrap();
        scan.files(dir.path(), &mut report).unwrap();
        assert_eq!(report.secrets(), 1);
    }

    #[test]
    fn nothing_searched_is_not_nothing_found() {
        Report::default().nothing().unwrap_err();
    }
}
