//! What the vault says of itself: its id, its keys, and evidence of its platform over them.

use std::sync::Arc;

use vouchsafe_attestation::statement::{StatementPreimage, vault};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_crypto::transcript::signing_key_preimage;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::introduction::VaultStatement;

use crate::boot::PlatformName;
use crate::chains::Chains;
use crate::challenge::ChallengeMint;
use crate::change::MarkKind;
use crate::core::Core;
use crate::introduce::Shared;
use crate::journal::Journal;
use crate::ports::{self, Ports};
use crate::restore::RestoreError;
use crate::state::{State, anchors_digest};

/// Offset and length of MEASUREMENT in an SNP report (AMD 56860, table 23).
const MEASUREMENT: std::ops::Range<usize> = 0x90..0xC0;

/// A vault with its state, which has begun an epoch but has no evidence about itself yet.
pub struct Unattested {
    state: State,
    journal: Journal,
    signing_key: P256Key,
    signing_certificate: Vec<u8>,
    tls_key: P256Key,
    mint: ChallengeMint,
    audit_key: Key32,
    platform: PlatformName,
    clock: u64,
    base: VaultStatement,
}

impl Unattested {
    /// Begins an epoch: new keys for everything that lives as long as this enclave, and a mark in the journal.
    pub(crate) fn begin(
        mut state: State,
        mut journal: Journal,
        audit_key: Key32,
        platform: PlatformName,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Self, RestoreError> {
        let random = |_| RestoreError::Random;
        let signing_key = ports.new_key().map_err(|_| RestoreError::Random)?;
        let tls_key = ports.new_key().map_err(|_| RestoreError::Random)?;
        let mint_key = Key32::fill_with(|bytes| ports.random(bytes)).map_err(random)?;
        let blind = ports::array(ports).map_err(random)?;
        crate::core::record_mark(&mut state, &mut journal, MarkKind::Begin, blind, now)
            .map_err(|_| RestoreError::Inconsistent)?;
        let inconsistent = |_| RestoreError::Inconsistent;
        let endorsed = signing_key_preimage(&state.vault_id.to_bytes(), &signing_key.spki());
        let base = VaultStatement {
            vault_id: state.vault_id,
            authority: state.authority.certificate().to_vec(),
            anchors_digest: anchors_digest(&state.request.anchors).map_err(inconsistent)?,
            endorsement: state.authority.key().sign(&endorsed).map_err(|_| RestoreError::Random)?,
            signing_key: signing_key.spki(),
            log_key: journal.log_key().public().0,
            init_digest: sha256(&[&codec::encode(&state.request).map_err(|_| RestoreError::Inconsistent)?]),
            evidence: Evidence::Snp(vouchsafe_protocol::evidence::SnpEvidence {
                report: Vec::new(),
                endorsements: vouchsafe_protocol::evidence::SnpEndorsements::default(),
            }),
            checkpoint: Vec::new(),
        };
        let mint = ChallengeMint::new(&mint_key);
        let public = P256PublicKey::from_spki(&signing_key.spki()).map_err(|_| RestoreError::Inconsistent)?;
        let signing_certificate =
            state.authority.issue_results(&public, now).map_err(|_| RestoreError::Random)?;
        Ok(Self {
            state,
            journal,
            signing_key,
            signing_certificate,
            tls_key,
            mint,
            audit_key,
            platform,
            clock: now,
            base,
        })
    }

    /// What the platform must make evidence over.
    #[must_use]
    pub fn statement(&self) -> StatementPreimage {
        let base = &self.base;
        vault(
            &base.vault_id,
            &self.state.authority.spki(),
            &base.signing_key,
            &base.log_key,
            &base.init_digest,
        )
    }

    /// The time inside, as [`Core::clock`].
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Takes the evidence; the vault can now be believed by others.
    #[must_use]
    pub fn attest(self, evidence: Evidence) -> Core {
        let measurement = measurement(&evidence);
        let shared = Arc::new(Shared {
            statement: VaultStatement { evidence, ..self.base },
            signing_key: self.signing_key,
            signing_certificate: self.signing_certificate,
            mint: self.mint,
            chains: Chains::default(),
            latest: self.journal.latest(),
            operators: self.state.request.operators.clone(),
            anchors: self.state.anchors.clone(),
        });
        Core::new(crate::core::Parts {
            state: self.state,
            journal: self.journal,
            shared,
            tls_key: self.tls_key,
            audit_key: self.audit_key,
            platform: self.platform,
            measurement,
            clock: self.clock,
        })
    }
}

/// What the platform's evidence shows of the code it runs, in hexadecimal, for people.
fn measurement(evidence: &Evidence) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match evidence {
        Evidence::Snp(snp) => hex(snp.report.get(MEASUREMENT).unwrap_or_default()),
        // No platform of a vault's makes this kind.
        Evidence::SnpVtpm(_) => String::new(),
        Evidence::Tpm(tpm) => {
            let pcrs = tpm.pcrs.iter().map(|pcr| format!("{}={}", pcr.index, hex(&pcr.value)));
            pcrs.collect::<Vec<_>>().join(" ")
        }
    }
}
