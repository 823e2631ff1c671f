//! What all TPM cases begin with: authorities, an endorsement key, attestation keys of each kind, PCR values.

use serde_json::{Map, Value, json};
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_simulation::SimulationError;
use vouchsafe_simulation::tpm::{PublicSpec, TpmAuthority, TpmCertificateSpec, TpmKey, TpmKeyKind};

/// The secret of every MakeCredential challenge.
pub(super) const SECRET: [u8; 32] = [0x5e; 32];
/// PCRs that the fixtures quote.
pub(super) const QUOTED: [u8; 4] = [0, 4, 7, 11];

/// Keys and authorities.
pub(super) struct TpmWorld {
    pub(super) seed: [u8; 32],
    /// Of the anchor set "maker", which stands for hardware.
    pub(super) maker: TpmAuthority,
    /// Of the anchor set "cloud", which stands for virtual TPMs of a host.
    pub(super) cloud: TpmAuthority,
    /// Of no anchor set.
    pub(super) stranger: TpmAuthority,
    pub(super) ek: TpmKey,
    /// The attestation key of most cases.
    pub(super) ak: TpmKey,
    /// Signs in any way that RSA keys do.
    pub(super) rsa: TpmKey,
}

impl TpmWorld {
    pub(super) fn new(seed: [u8; 32]) -> Result<Self, SimulationError> {
        let key = |kind, label: &str| TpmKey::from_seed(kind, seed, label);
        let p256 = TpmKeyKind::EcdsaP256;
        Ok(Self {
            seed,
            maker: TpmAuthority::from_seed("TPM maker", seed)?,
            cloud: TpmAuthority::from_seed("Cloud vTPM", seed)?,
            stranger: TpmAuthority::from_seed("Stranger", seed)?,
            ek: key(p256, "ek")?,
            ak: key(p256, "ak")?,
            rsa: key(TpmKeyKind::RsaSsaSha256, "ak-rsa")?,
        })
    }

    /// A key of a seed, for one case.
    pub(super) fn key(&self, label: &str) -> Result<TpmKey, SimulationError> {
        TpmKey::from_seed(TpmKeyKind::EcdsaP256, self.seed, label)
    }

    /// The attestation key of a kind, anew.
    pub(super) fn rekey(&self, kind: TpmKeyKind) -> Result<TpmKey, SimulationError> {
        match kind {
            TpmKeyKind::EcdsaP256 => self.key("ak"),
            TpmKeyKind::EcdsaP384 => TpmKey::from_seed(kind, self.seed, "ak-p384"),
            _ => self.rsa.as_kind(kind),
        }
    }

    /// A right EK certificate, by the maker.
    pub(super) fn ek_certificate(&self) -> Result<Vec<u8>, SimulationError> {
        self.maker.issue(&TpmCertificateSpec::maker_ek(TpmKeyKind::EcdsaP256), &self.ek.spki()?)
    }

    /// The right public area of the EK.
    pub(super) fn ek_public(&self) -> Vec<u8> {
        self.ek.public_area(&PublicSpec::ek())
    }
}

/// Values of the quoted PCRs: a different one each.
pub(super) fn values() -> Vec<PcrValue> {
    QUOTED.map(|index| PcrValue { index, value: [0xa0 + index; 32] }).to_vec()
}

/// Values as the policy of a case has them: exactly these.
pub(super) fn policy_pcrs(values: &[PcrValue]) -> Value {
    let pcrs = values.iter().map(|pcr| (pcr.index.to_string(), json!([hex::encode(pcr.value)])));
    Value::Object(pcrs.collect::<Map<_, _>>())
}

/// A file of PCR values.
pub(super) fn pcr_file(bank: &str, values: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let pcrs = values.iter().map(|(index, value)| (index.to_string(), json!(hex::encode(value))));
    json!({ "bank": bank, "pcrs": pcrs.collect::<Map<_, _>>() }).to_string().into_bytes()
}
