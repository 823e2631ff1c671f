//! PCR values: `{"bank": "sha256", "pcrs": {"0": hex, ...}}`, or `{"banks": {"sha256": {"0": hex, ...}, ...}}`.

use std::collections::BTreeMap;

use serde::Deserialize;
use vouchsafe_attestation::tpm::quote::PcrValues;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;

use super::Running;
use crate::verdict::{Run, Stop};

#[derive(Deserialize)]
#[serde(untagged)]
enum PcrFile {
    One { bank: String, pcrs: BTreeMap<String, String> },
    Several { banks: BTreeMap<String, BTreeMap<String, String>> },
}

impl Running<'_> {
    /// The values of the file `pcrs`.
    pub(crate) fn pcrs(&self) -> Run<PcrValues> {
        let malformed = || Stop::malformed("pcrs");
        let banks = match serde_json::from_slice(self.file("pcrs")?).map_err(|_| malformed())? {
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
                other => return Err(Stop::not_supported(format!("PCR bank '{other}' is not known"))),
            };
            for (index, value) in pcrs {
                let index: u8 = index.parse().map_err(|_| malformed())?;
                let value = hex::decode(value).map_err(|_| malformed())?;
                if value.len() != bank.len() {
                    return Err(malformed());
                }
                values.insert((bank, index), value);
            }
        }
        Ok(values)
    }
}

/// The SHA-256 values, ascending.
pub(crate) fn sha256(values: &PcrValues) -> Vec<PcrValue> {
    let of_bank = values.iter().filter(|((bank, _), _)| *bank == HashAlgorithm::Sha256);
    of_bank
        .filter_map(|((_, index), value)| {
            Some(PcrValue { index: *index, value: value.as_slice().try_into().ok()? })
        })
        .collect()
}
