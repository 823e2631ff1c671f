//! T4: an attestation key that lives in software. Everything else is genuine: the endorsement key and its
//! certificate, the PCRs, the form of the quote. Only the key that signs was never in the TPM.

use anyhow::{Context as _, Result, ensure};
use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_crypto::random;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_platform::tpm::TpmPlatform;
use vouchsafe_platform::{Attester, PlatformError, PlatformKind};
use vouchsafe_protocol::evidence::{CredentialBlob, Evidence, TpmEvidence, TpmKeys};
use vouchsafe_protocol::introduction::LogsWanted;

use crate::agent::{introduce_through, tpm};
use crate::{Outcome, Victim};

/// Bytes of a P-256 coordinate.
const COORDINATE: usize = 32;

/// A machine whose attestation key is this program's.
struct SoftwareKey {
    tpm: TpmPlatform,
    key: P256Key,
    public: Vec<u8>,
}

/// Asks for an identity with it.
pub(crate) async fn introduce_with(victim: Victim) -> Result<Outcome> {
    let mut tpm = tpm(&victim)?;
    let key = P256Key::generate()?;
    let genuine = tpm.tpm_keys()?.context("the TPM has no keys")?.ak_public;
    let public = with_point(genuine, key.point())?;
    let machine = SoftwareKey { tpm, key, public };
    Ok(match introduce_through(&victim, &victim.address, machine).await? {
        Ok(introduced) => Outcome::Done(format!("granted {}", introduced.spiffe_id)),
        Err(refusal) => Outcome::Refused(refusal.to_string()),
    })
}

/// The public area ends with the two coordinates, each after its length: the same attributes, another point.
fn with_point(mut public: Vec<u8>, point: &[u8]) -> Result<Vec<u8>> {
    ensure!(point.len() == 1 + 2 * COORDINATE, "not an uncompressed P-256 point");
    let (x, y) = point.get(1..).unwrap_or_default().split_at(COORDINATE);
    let kept = public.len().checked_sub(2 * (2 + COORDINATE)).context("not a P-256 public area")?;
    public.truncate(kept);
    for coordinate in [x, y] {
        public.extend_from_slice(&[0, 32]);
        public.extend_from_slice(coordinate);
    }
    Ok(public)
}

impl Attester for SoftwareKey {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Tpm
    }

    fn tpm_keys(&mut self) -> Result<Option<TpmKeys>, PlatformError> {
        Ok(self.tpm.tpm_keys()?.map(|keys| TpmKeys { ak_public: self.public.clone(), ..keys }))
    }

    /// The TPM does not open a credential that was made for a key that it does not hold. What is left is to
    /// guess.
    fn activate(&mut self, blob: &CredentialBlob) -> Result<Key32, PlatformError> {
        match self.tpm.activate(blob) {
            Ok(key) => Ok(key),
            Err(_) => random::key().map_err(|_| PlatformError::NoRandomness),
        }
    }

    fn evidence(
        &mut self,
        statement: &StatementPreimage,
        pcrs: &[u8],
        logs: LogsWanted,
    ) -> Result<Evidence, PlatformError> {
        let evidence = self.tpm.evidence(statement, pcrs, logs)?;
        Ok(match evidence {
            Evidence::Tpm(genuine) => {
                let signature = self.key.sign(&genuine.quote).ok().and_then(|der| tpm_signature(&der));
                Evidence::Tpm(TpmEvidence {
                    signature: signature.unwrap_or_default(),
                    ak_public: self.public.clone(),
                    ..genuine
                })
            }
            other @ (Evidence::Snp(_) | Evidence::SnpVtpm(_)) => other,
        })
    }
}

/// `TPMT_SIGNATURE` of an ECDSA signature in ASN.1: algorithm, hash, and both integers after their lengths.
fn tpm_signature(der: &[u8]) -> Option<Vec<u8>> {
    let rest = der.strip_prefix(&[0x30])?.get(1..)?;
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    rest.is_empty().then(|| {
        let mut out = vec![0x00, 0x18, 0x00, 0x0b];
        for value in [r, s] {
            out.extend_from_slice(&[0, 32]);
            out.extend_from_slice(&value);
        }
        out
    })
}

/// An ASN.1 integer of at most 32 bytes, right-aligned.
fn integer(bytes: &[u8]) -> Option<([u8; COORDINATE], &[u8])> {
    let (&len, rest) = bytes.strip_prefix(&[0x02])?.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(len))?;
    let value = value.strip_prefix(&[0]).unwrap_or(value);
    let mut out = [0; COORDINATE];
    out.get_mut(COORDINATE.checked_sub(value.len())?..)?.copy_from_slice(value);
    Some((out, rest))
}
