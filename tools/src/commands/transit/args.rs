//! Arguments: keys, kinds, what a ciphertext is bound to, and values in text or bytes.

use anyhow::{Context as _, Result};
use clap::Args;
use vouchsafe_client::SealedText;
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::path::{Path, PathError};
use vouchsafe_protocol::transit::{Binding, Ciphertext, FORMAT, KeyKind, Signature};

use crate::failure::Problem;
use crate::input;

/// RFC 8410, section 7: PKCS#8 of an Ed25519 key up to its seed.
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const PEM: &str = "PRIVATE KEY";

/// Everything of this engine is below `transit/`; the vault would refuse the rest without saying so.
pub(super) fn key_path(text: &str) -> Result<Path, String> {
    let path: Path = text.parse().map_err(|error: PathError| error.to_string())?;
    if text.starts_with("transit/") {
        Ok(path)
    } else {
        Err(format!("it must begin with transit/, as in transit/{text}"))
    }
}

pub(super) fn prefix_path(text: &str) -> Result<Path, String> {
    if text == "transit" {
        text.parse().map_err(|error: PathError| error.to_string())
    } else {
        key_path(text)
    }
}

pub(super) fn kind(text: &str) -> Result<KeyKind, String> {
    let names: Vec<_> = KeyKind::ALL.iter().map(|kind| kind.name()).collect();
    KeyKind::ALL
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| format!("a kind is one of {}", names.join(", ")))
}

/// What a ciphertext is bound to.
#[derive(Clone, Debug, Args)]
pub(super) struct BindingArgs {
    /// Context of a derived key, such as the name of a tenant
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// Associated data: what must be given again to decrypt
    #[arg(long, value_name = "TEXT")]
    aad: Option<String>,
}

impl BindingArgs {
    pub fn binding(&self) -> Binding {
        let bytes = |text: &Option<String>| text.as_deref().unwrap_or_default().as_bytes().to_vec();
        Binding { context: bytes(&self.context), aad: bytes(&self.aad) }
    }
}

/// Reads what `encrypt` or `sign` has printed, or the ciphertext itself in bytes.
pub(super) fn ciphertext(source: &str) -> Result<Ciphertext> {
    let value = input::value(source)?;
    if value.expose_secret().first() == Some(&FORMAT) {
        return Ok(Ciphertext::new(value.expose_secret().to_vec()));
    }
    let text = text(&value)?;
    let sealed = text.into_ciphertext().context("the ciphertext is not usable")?;
    Ok(sealed)
}

pub(super) fn signature(source: &str) -> Result<Signature> {
    text(&input::value(source)?).map(SealedText::into_signature)
}

fn text(value: &SecretValue) -> Result<SealedText> {
    let malformed = || {
        Problem::new("malformed-text", "this is not what 'vouchsafe transit' prints")
            .hint("it is 'vouchsafe:v<version>:<base64>', whole and as it was printed")
    };
    let text = std::str::from_utf8(value.expose_secret()).map_err(|_| malformed())?;
    text.trim_end_matches(['\n', '\r'])
        .parse::<SealedText>()
        .map_err(|error| anyhow::Error::new(error).context(malformed()))
}

/// Key material: PEM becomes DER, and a PKCS#8 Ed25519 key its seed.
pub(super) fn material(source: &str) -> Result<SecretValue> {
    let value = input::value(source)?;
    let bytes = value.expose_secret();
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN "));
    let der = match text {
        None => value,
        Some(text) => {
            let (begin, end) = (format!("-----BEGIN {PEM}-----"), format!("-----END {PEM}-----"));
            let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
            let body =
                body.map(|(body, _)| zeroize::Zeroizing::new(body.split_whitespace().collect::<String>()));
            let decoded = body.and_then(|body| {
                base64::Engine::decode(&base64::prelude::BASE64_STANDARD, body.as_bytes()).ok()
            });
            let problem =
                Problem::new("malformed-file", "the key is not PEM of an unencrypted PKCS#8 private key")
                    .hint("'openssl pkcs8 -topk8 -nocrypt' makes one of other forms");
            SecretValue::new(decoded.ok_or(problem)?)
        }
    };
    Ok(match der.expose_secret().strip_prefix(&ED25519_PKCS8) {
        Some(seed) if seed.len() == 32 => SecretValue::new(seed.to_vec()),
        _ => der,
    })
}
