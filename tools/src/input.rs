//! Values from the command line: as an argument, from standard input (`-`) or from a file (`@FILE`).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::limits::KV_VALUE_LEN;

use crate::failure::Problem;

/// Reads a value. What is read from a file or standard input is taken byte for byte.
pub(crate) fn value(source: &str) -> Result<SecretValue> {
    match source.strip_prefix('@') {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {path}"))?;
            bounded(file).with_context(|| format!("cannot read {path}"))
        }
        None if source == "-" => bounded(io::stdin().lock()).context("cannot read standard input"),
        None => Ok(SecretValue::new(source.as_bytes().to_vec())),
    }
}

/// Reads at most a value's length, into a buffer that never grows: no copy of a secret is left behind.
fn bounded(reader: impl Read) -> Result<SecretValue> {
    let mut bytes = Vec::with_capacity(KV_VALUE_LEN + 2);
    reader.take(KV_VALUE_LEN as u64 + 1).read_to_end(&mut bytes)?;
    let value = SecretValue::new(bytes);
    if value.expose_secret().len() > KV_VALUE_LEN {
        return Err(Problem::new(
            "value-too-large",
            format!("the value is longer than {KV_VALUE_LEN} bytes"),
        )
        .hint("split it, or store a key here and the data elsewhere, encrypted under it")
        .into());
    }
    Ok(value)
}

/// Reads a certificate or public key: DER, or one or several PEM blocks. Returns the DER of each.
pub(crate) fn ders(path: &Path, label: &str) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(text) = std::str::from_utf8(&bytes).ok().filter(|text| text.contains("-----BEGIN ")) else {
        return Ok(vec![bytes]);
    };
    let malformed = || {
        Problem::new("malformed-file", format!("{} is not DER or PEM ({label})", path.display()))
            .hint(format!("expected '-----BEGIN {label}-----'"))
    };
    let mut all = Vec::new();
    for block in text.split(&format!("-----BEGIN {label}-----")).skip(1) {
        let body = block.split(&format!("-----END {label}-----")).next().ok_or_else(malformed)?;
        let body: String = body.split_whitespace().collect();
        all.push(base64::Engine::decode(&base64::prelude::BASE64_STANDARD, body).map_err(|_| malformed())?);
    }
    if all.is_empty() { Err(malformed().into()) } else { Ok(all) }
}

/// PEM of a DER structure.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_and_a_file_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        std::fs::write(&path, b"line\n\x00").unwrap();
        assert_eq!(value(&format!("@{}", path.display())).unwrap().expose_secret(), b"line\n\x00");
        assert_eq!(value("line").unwrap().expose_secret(), b"line");
    }

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        std::fs::write(&path, vec![0; KV_VALUE_LEN + 1]).unwrap();
        let error = value(&format!("@{}", path.display())).unwrap_err();
        assert!(format!("{error:#}").contains("longer than"), "{error:#}");
    }

    #[test]
    fn pem_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let der: Vec<u8> = (0..=200).collect();
        std::fs::write(&path, pem("PUBLIC KEY", &der) + &pem("PUBLIC KEY", b"x")).unwrap();
        assert_eq!(ders(&path, "PUBLIC KEY").unwrap(), vec![der, b"x".to_vec()]);
        assert!(ders(&path, "CERTIFICATE").is_err());
    }
}
