//! A search for texts in everything the host has: raw, in hexadecimal and in base64 at every alignment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use memchr::memmem;

use crate::Outcome;

/// Shorter texts are found by chance.
const TEXT_LEN: usize = 6;

/// One form of a text.
struct Needle {
    form: &'static str,
    bytes: Vec<u8>,
}

/// Searches. Found: [`Outcome::Done`], with where. Not found: [`Outcome::Refused`], with how much was searched.
pub(crate) fn scan(texts: &[String], paths: &[PathBuf]) -> Result<Outcome> {
    let mut needles = Vec::new();
    for text in texts {
        ensure!(text.len() >= TEXT_LEN, "texts of fewer than {TEXT_LEN} bytes are found by chance");
        needles.extend(forms(text.as_bytes()));
    }
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let (mut searched, mut found) = (0, Vec::new());
    for file in &files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        searched += bytes.len();
        for Needle { form, bytes: needle } in &needles {
            if memmem::find(&bytes, needle).is_some() {
                found.push(format!("{form} in {}", file.display()));
            }
        }
    }
    let extent = format!("{searched} bytes in {} files, {} forms", files.len(), needles.len());
    Ok(match found.as_slice() {
        [] => Outcome::Refused(format!("found nothing ({extent})")),
        some => Outcome::Done(format!("found {} ({extent})", some.join(", "))),
    })
}

fn forms(text: &[u8]) -> Vec<Needle> {
    let mut needles = vec![
        Needle { form: "raw", bytes: text.to_vec() },
        Needle { form: "hex", bytes: hex::encode(text).into_bytes() },
        Needle { form: "HEX", bytes: hex::encode_upper(text).into_bytes() },
    ];
    for (form, engine) in [("base64", BASE64_STANDARD_NO_PAD), ("base64url", BASE64_URL_SAFE_NO_PAD)] {
        for before in 0..3 {
            needles.push(Needle { form, bytes: base64_at(&engine, text, before) });
        }
    }
    needles
}

/// The characters of base64 that depend on the text alone when `before` bytes (modulo 3) precede it.
fn base64_at(engine: &base64::engine::GeneralPurpose, text: &[u8], before: usize) -> Vec<u8> {
    let padded = [vec![0; before].as_slice(), text].concat();
    let encoded = engine.encode(&padded).into_bytes();
    // Characters that share bits with what precedes or follows are left out.
    let first = [0, 2, 3].get(before).copied().unwrap_or(0);
    let last = padded.len() * 8 / 6;
    encoded.into_iter().take(last).skip(first).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("cannot read {}", path.display());
    let kind = fs::symlink_metadata(path).with_context(failed)?.file_type();
    if kind.is_file() {
        files.push(path.to_owned());
    } else if kind.is_dir() {
        for entry in fs::read_dir(path).with_context(failed)? {
            collect(&entry.with_context(failed)?.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_every_form_is_found_at_every_alignment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("haystack");
        for before in 0..7 {
            let plain = [&b"xyzxyzx"[..before], b"correct horse", b"tail"].concat();
            for bytes in [
                plain.clone(),
                hex::encode(&plain).into_bytes(),
                hex::encode_upper(&plain).into_bytes(),
                BASE64_STANDARD_NO_PAD.encode(&plain).into_bytes(),
                BASE64_URL_SAFE_NO_PAD.encode(&plain).into_bytes(),
            ] {
                fs::write(&path, &bytes).unwrap();
                let found = scan(&["correct horse".to_owned()], &[dir.path().to_owned()]).unwrap();
                assert!(matches!(found, Outcome::Done(_)), "{}", String::from_utf8_lossy(&bytes));
                let other = scan(&["incorrect horse".to_owned()], &[dir.path().to_owned()]).unwrap();
                assert!(matches!(other, Outcome::Refused(_)));
            }
        }
    }
}
