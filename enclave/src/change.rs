//! Changes of state: what the journal holds and what a restart applies again, in the same order.

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::collateral::CollateralItem;
use vouchsafe_protocol::id::{OperatorName, RoleName};
use vouchsafe_protocol::introduction::InitRequest;
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::policy::grants::Asking;
use vouchsafe_protocol::policy::{PlatformKind, Role};
use vouchsafe_protocol::seen::{SeenClock, SeenEvidence};

use crate::derive::DeriveChange;
use crate::kv::KvChange;
use crate::lease::{NewLease, RenewedLease};
use crate::revocation::Revocation;
use crate::transit::TransitChange;

/// One change. The order of variants is the stored form: append only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// The vault's first record.
    Init {
        /// Who made it, with which anchors.
        request: InitRequest,
        /// PKCS#8 of the authority's key.
        authority_key: SecretValue,
        /// DER of its self-signed certificate.
        authority: Vec<u8>,
        /// The platform counter's value when the root key was sealed.
        counter_base: Option<u64>,
    },
    /// An enclave began (odd number of marks open) or ended an epoch. The platform's counter follows the mark.
    Mark {
        /// Counts up by one with every begin and every end.
        mark: u64,
        /// Whether serving begins or ends here.
        kind: MarkKind,
    },
    /// An identity was issued.
    Identity(Box<Admission>),
    /// Roles were replaced.
    Roles(Vec<Role>),
    /// Of secrets.
    Kv(KvChange),
    /// Collateral was imported at this time, when it held.
    Collateral { items: Vec<CollateralItem>, at_unix_secs: u64 },
    /// Identities were ended before their time.
    Revoke {
        /// Serial numbers.
        identities: Vec<u64>,
    },
    /// The clock of a TPM was forgotten.
    ForgetTpm {
        /// Names its attestation key.
        key: [u8; 32],
    },
    /// A lease was handed out, with what else changed.
    Lease { lease: NewLease, with: Option<Box<Change>> },
    /// A lease was renewed.
    LeaseRenewed(RenewedLease),
    /// Leases had ended, up to this end and number.
    LeasesEnded { last: (u64, u64) },
    /// It was decided to end identities or leases.
    Decision(Revocation),
    /// One step of cleaning up after decisions.
    Sweep,
    /// Of keys.
    Transit(TransitChange),
    /// Of labels.
    Derive(DeriveChange),
    /// A lease was ended before its time.
    LeaseRevoked { number: u64 },
}

/// An identity and what its evidence showed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Admission {
    pub identity: Identity,
    /// For an agent.
    pub seen: Option<SeenEvidence>,
}

/// Which end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MarkKind {
    /// Serving begins.
    Begin,
    /// Serving ended in order.
    End,
}

/// An identity that the vault issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Serial number of its certificate, from 1.
    pub number: u64,
    /// SHA-256 of the certificate's DER: an identity is exactly one certificate (B9).
    pub certificate: [u8; 32],
    /// SubjectPublicKeyInfo of the attested key.
    pub key: Vec<u8>,
    /// Whose it is.
    pub subject: IdentitySubject,
    /// When its evidence was appraised, seconds since 1970.
    pub at_secs: u64,
    /// End of the certificate, seconds since 1970.
    pub not_after_secs: u64,
    /// When the evidence behind it is too old, seconds since 1970; its own clock (F6).
    pub evidence_until_secs: u64,
    /// Clock of the TPM that it was issued for, where there is one (T11).
    pub clock: Option<SeenClock>,
}

/// Whose identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IdentitySubject {
    /// An agent.
    Agent {
        /// Role.
        role: RoleName,
        /// SHA-256 of the evidence.
        evidence: [u8; 32],
        /// Chip id or EK digest, as the appraisal gave it.
        platform: Vec<u8>,
        /// Launch digest, or digest of the quoted PCRs.
        measurement: Vec<u8>,
        /// What kind of platform it is.
        kind: PlatformKind,
    },
    /// An operator.
    Operator(OperatorName),
}

impl Identity {
    /// Whether both are of one key, and of one role or one operator.
    pub fn is_of_holder_of(&self, other: &Self) -> bool {
        let same_subject = match (&self.subject, &other.subject) {
            (IdentitySubject::Agent { role: one, .. }, IdentitySubject::Agent { role: other, .. }) => {
                one == other
            }
            (IdentitySubject::Operator(one), IdentitySubject::Operator(other)) => one == other,
            (IdentitySubject::Agent { .. }, IdentitySubject::Operator(_))
            | (IdentitySubject::Operator(_), IdentitySubject::Agent { .. }) => false,
        };
        same_subject && self.key == other.key
    }

    /// What an agent's rules are asked about.
    pub fn asking(&self, now_secs: u64) -> Option<Asking<'_>> {
        let IdentitySubject::Agent { role, platform, measurement, kind, .. } = &self.subject else {
            return None;
        };
        // Zeros name no platform: a chip that is masked, or behind a VLEK.
        let platform = Some(platform.as_slice()).filter(|id| id.iter().any(|byte| *byte != 0));
        let measurement = Some(measurement.as_slice());
        Some(Asking { role, platform, measurement, kind: *kind, evidence_at_secs: self.at_secs, now_secs })
    }
}
