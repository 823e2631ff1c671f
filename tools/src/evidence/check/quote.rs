//! Kinds tpm-quote and quote-parse.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::{Expected, PcrValues, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::parse_spki;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::policy::Permission;

use super::cases::Case;
use super::snp::file;
use super::{Files, Verdict};
use crate::evidence::pem::to_der;

/// PCRs of one bank, or of several.
#[derive(Deserialize)]
#[serde(untagged)]
enum PcrFile {
    One { bank: String, pcrs: BTreeMap<String, String> },
    Several { banks: BTreeMap<String, BTreeMap<String, String>> },
}

/// A quote with its key and PCR values. A log is not interpreted in this version: if everything else holds and
/// there is one, the verdict depends on it and is not given.
pub(super) fn check_quote(case: &Case, files: &Files) -> Verdict {
    let sha1 = match case.policy() {
        Ok(policy) if policy.allow_sha1 => Permission::Allowed,
        Ok(_) => Permission::Forbidden,
        Err(error) => return Verdict::not_supported(format!("{error:#}")),
    };
    let raw_signature = match case.sig_format.as_deref() {
        Some("tpmt-signature") => false,
        Some("raw-rsassa-sha256") => true,
        other => return Verdict::not_supported(format!("signature format {other:?} is not known")),
    };
    match verify(case, files, raw_signature, sha1) {
        Ok(()) if files.contains_key("event_log") => Verdict::not_supported(
            "everything but the event log verifies; logs are not interpreted in this version",
        ),
        result => Verdict::of(result),
    }
}

/// A quote alone: whether it parses.
pub(super) fn parse_quote(files: &Files) -> Verdict {
    Verdict::of(file(files, "quote").and_then(|quote| Ok(Quote::parse(quote).map(drop)?)))
}

fn verify(case: &Case, files: &Files, raw_signature: bool, sha1: Permission) -> anyhow::Result<()> {
    let bytes = file(files, "quote")?;
    let quote = Quote::parse(bytes)?;
    let signature = file(files, "sig")?;
    let signature = if raw_signature {
        QuoteSignature::raw_rsassa_sha256(signature)
    } else {
        QuoteSignature::parse(signature)?
    };
    let key = parse_spki(&to_der(file(files, "ak")?)?).context("attestation key is of no known kind")?;
    let nonce = case.nonce.as_deref().context("the case has no nonce")?;
    let nonce = hex::decode(nonce).context("the nonce is not hexadecimal")?;
    let values = pcr_values(file(files, "pcrs")?)?;
    let expected = Expected { key: &key, scheme: None, extra_data: &nonce, sha1 };
    Ok(verify_quote(bytes, &quote, &signature, &values, expected)?)
}

fn pcr_values(bytes: &[u8]) -> anyhow::Result<PcrValues> {
    let banks = match serde_json::from_slice(bytes).context("the PCR file is not understood")? {
        PcrFile::One { bank, pcrs } => BTreeMap::from([(bank, pcrs)]),
        PcrFile::Several { banks } => banks,
    };
    let mut values = PcrValues::new();
    for (bank, pcrs) in banks {
        let bank = match bank.as_str() {
            "sha1" => HashAlgorithm::DangerousSha1,
            "sha256" => HashAlgorithm::Sha256,
            "sha384" => HashAlgorithm::Sha384,
            "sha512" => HashAlgorithm::Sha512,
            other => bail!("PCR bank '{other}' is not known"),
        };
        for (index, value) in pcrs {
            let index: u8 = index.parse().context("a PCR index is not a number")?;
            let value = hex::decode(value).context("a PCR value is not hexadecimal")?;
            ensure!(value.len() == bank.len(), "value of PCR {index} is not as long as its bank's hash");
            values.insert((bank, index), value);
        }
    }
    Ok(values)
}
