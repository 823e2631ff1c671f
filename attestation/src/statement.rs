//! The statements that evidence is made over: length-prefixed and domain-tagged, so that no two sets of fields
//! have one pre-image. Built only by the one who attests, and again by the one who verifies; nobody sends one.

use vouchsafe_crypto::digest;
use vouchsafe_protocol::evidence::EvidenceKind;
use vouchsafe_protocol::id::{RoleName, VaultId};

/// Domain of an agent's statement.
const INTRODUCTION: &str = "vouchsafe/1/introduction";
/// Domain of a statement that nobody is introduced by: collected evidence.
const COLLECTION: &str = "vouchsafe/1/collection";
/// Domain of a vault's statement about itself.
const VAULT: &str = "vouchsafe/1/vault";

/// What a platform makes evidence over: exactly 64 bytes, made only by [`StatementPreimage::statement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement([u8; 64]);

impl Statement {
    /// All 64 bytes. An SNP platform puts them in REPORT_DATA.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The first 32 bytes, which a TPM platform takes as qualifying data (it has no room for 64).
    #[must_use]
    pub fn qualifying_data(&self) -> [u8; 32] {
        let mut first = [0; 32];
        first.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        first
    }
}

/// What evidence must be over: the bytes that it carries the hash of, or, in another protocol, what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementPreimage(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Bytes that are hashed.
    Hashed(Vec<u8>),
    /// What a protocol of somebody else's puts into evidence.
    Foreign { report_data: [u8; 64], qualifying_data: [u8; 32] },
}

impl StatementPreimage {
    /// REPORT_DATA of an SNP report: SHA-512 of the bytes.
    #[must_use]
    pub fn snp_report_data(&self) -> [u8; 64] {
        match &self.0 {
            Form::Hashed(bytes) => digest::sha512(&[bytes]),
            Form::Foreign { report_data, .. } => *report_data,
        }
    }

    /// Qualifying data of a TPM quote: SHA-256 of the bytes.
    #[must_use]
    pub fn tpm_qualifying_data(&self) -> [u8; 32] {
        match &self.0 {
            Form::Hashed(bytes) => digest::sha256(&[bytes]),
            Form::Foreign { qualifying_data, .. } => *qualifying_data,
        }
    }

    /// What to hand to a platform that makes evidence of `kind`: for SNP the 64 bytes of
    /// [`Self::snp_report_data`]; for a TPM the 32 of [`Self::tpm_qualifying_data`], then zeros.
    #[must_use]
    pub fn statement(&self, kind: EvidenceKind) -> Statement {
        match kind {
            EvidenceKind::Snp => Statement(self.snp_report_data()),
            EvidenceKind::SnpVtpm | EvidenceKind::Tpm => {
                let mut bytes = [0; 64];
                let digest = self.tpm_qualifying_data();
                bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
                Statement(bytes)
            }
        }
    }
}

/// An agent's statement: this challenge, of this offer, for this key, as this role, to this vault.
#[must_use]
pub fn introduction(
    challenge: &[u8],
    offer_digest: &[u8; 32],
    identity_spki: &[u8],
    role: &RoleName,
    vault: &VaultId,
) -> StatementPreimage {
    let vault = vault.to_bytes();
    let parts: [&[u8]; 5] = [challenge, offer_digest, identity_spki, role.as_str().as_bytes(), &vault];
    hashed(INTRODUCTION, &parts)
}

/// The statement of another protocol, by what its evidence carries: for projects that verify evidence with rules of
/// their own making. That both hold a fresh challenge and the key that is vouched for is then theirs to see to.
#[must_use]
pub fn foreign(report_data: [u8; 64], qualifying_data: [u8; 32]) -> StatementPreimage {
    StatementPreimage(Form::Foreign { report_data, qualifying_data })
}

fn hashed(domain: &str, parts: &[&[u8]]) -> StatementPreimage {
    StatementPreimage(Form::Hashed(digest::preimage(domain, parts)))
}

/// The statement of evidence that is collected to be looked at: fresh, and over nothing else. Whatever the nonce,
/// which its verifier chose, no introduction and no vault has this statement.
#[must_use]
pub fn collection(nonce: &[u8]) -> StatementPreimage {
    hashed(COLLECTION, &[nonce])
}

/// A vault's statement about itself: these keys are this vault's, which was initialised like this.
#[must_use]
pub fn vault(
    vault: &VaultId,
    authority_spki: &[u8],
    signing_spki: &[u8],
    log_key: &[u8],
    init_digest: &[u8; 32],
) -> StatementPreimage {
    let vault = vault.to_bytes();
    let parts: [&[u8]; 5] = [&vault, authority_spki, signing_spki, log_key, init_digest];
    hashed(VAULT, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_protocol::id::AnchorClass;

    const VAULT_ID: VaultId = VaultId { class: AnchorClass::Hardware, digest: [7; 32] };

    fn bytes(statement: &StatementPreimage) -> &[u8] {
        match &statement.0 {
            Form::Hashed(bytes) => bytes,
            Form::Foreign { .. } => panic!("no bytes are hashed"),
        }
    }

    #[test]
    fn b4_a_foreign_statement_is_what_it_says() {
        let statement = foreign([1; 64], [2; 32]);
        assert_eq!(statement.snp_report_data(), [1; 64]);
        assert_eq!(statement.tpm_qualifying_data(), [2; 32]);
    }

    fn sample(challenge: &[u8], spki: &[u8], role: &str) -> StatementPreimage {
        introduction(challenge, &[1; 32], spki, &role.parse().unwrap(), &VAULT_ID)
    }

    #[test]
    fn the_preimage_is_the_documented_one() {
        let mut expected = b"vouchsafe/1/introduction".to_vec();
        for part in [b"challenge".as_slice(), &[1; 32], b"spki", b"role", &VAULT_ID.to_bytes()] {
            expected.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            expected.extend_from_slice(part);
        }
        assert_eq!(bytes(&sample(b"challenge", b"spki", "role")), expected);
    }

    #[test]
    fn b2_moving_a_byte_across_a_field_boundary_changes_the_digest() {
        let one = sample(b"ab", b"c", "r");
        for other in [sample(b"a", b"bc", "r"), sample(b"ab", b"", "cr"), sample(b"abc", b"", "r")] {
            assert_ne!(one.snp_report_data(), other.snp_report_data());
            assert_ne!(one.tpm_qualifying_data(), other.tpm_qualifying_data());
        }
    }

    #[test]
    fn b2_domains_and_vaults_are_kept_apart() {
        let agent = introduction(&[0; 33], &[1; 32], b"a", &"r".parse().unwrap(), &VAULT_ID);
        let own = vault(&VAULT_ID, b"a", b"s", b"l", &[1; 32]);
        assert_ne!(agent, own);
        let simulated = VaultId { class: AnchorClass::Simulated, ..VAULT_ID };
        assert_ne!(own, vault(&simulated, b"a", b"s", b"l", &[1; 32]));
    }

    #[test]
    fn b3_no_nonce_makes_collected_evidence_an_introduction() {
        let agent = sample(b"challenge", b"key", "r");
        let nonces = [bytes(&agent), &agent.snp_report_data(), &agent.tpm_qualifying_data()];
        for nonce in nonces {
            let collected = collection(nonce);
            assert_ne!(collected.snp_report_data(), agent.snp_report_data());
            assert_ne!(collected.tpm_qualifying_data(), agent.tpm_qualifying_data());
            assert_ne!(collected.tpm_qualifying_data().as_slice(), nonce);
            assert_ne!(collected.snp_report_data().as_slice(), nonce);
        }
        assert_eq!(bytes(&collection(b"n")), b"vouchsafe/1/collection\0\0\0\x01n");
        assert_ne!(collection(b"a"), collection(b"b"));
    }

    #[test]
    fn a_tpm_statement_begins_with_the_whole_qualifying_data() {
        let preimage = sample(b"c", b"k", "r");
        let statement = preimage.statement(EvidenceKind::Tpm);
        assert_eq!(statement.qualifying_data(), preimage.tpm_qualifying_data());
        assert_eq!(statement.as_bytes()[32..], [0; 32]);
        assert_eq!(*preimage.statement(EvidenceKind::Snp).as_bytes(), preimage.snp_report_data());
    }
}
