//! PEM armour: exactly one block, or DER as it is.

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The DER of a file that is DER, or one PEM block.
///
/// # Errors
/// Armour that is broken, or more than one block.
pub(super) fn to_der(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let start = file.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let is_armoured = file.get(start..).is_some_and(|rest| rest.starts_with(b"-----BEGIN "));
    if !is_armoured {
        return Ok(file.to_vec());
    }
    let text = std::str::from_utf8(file).context("PEM is not text")?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let label = lines
        .next()
        .and_then(|line| line.strip_prefix("-----BEGIN "))
        .and_then(|line| line.strip_suffix("-----"))
        .context("PEM header is malformed")?;
    let end = format!("-----END {label}-----");
    let mut body = String::new();
    loop {
        match lines.next() {
            Some(line) if line == end => break,
            Some(line) => body.push_str(line),
            None => bail!("PEM block does not end"),
        }
    }
    ensure!(lines.next().is_none(), "PEM holds more than one block");
    STANDARD.decode(body).context("PEM body is not base64")
}
