//! Admission: a verified proof becomes an identity, exactly once, and only together with its log entry.

use std::sync::Arc;

use vouchsafe_attestation::Appraisal;
use vouchsafe_attestation::appraisal::{PlatformClass, PlatformId};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::introduction::{Grant, IntroductionReply};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, Decision, Receipt};
use vouchsafe_protocol::refusal::RefusalCode;

use crate::authority::{Leaf, Usage};
use crate::change::{Change, Identity, IdentitySubject};
use crate::core::Core;
use crate::introduce::{Claim, ProveOutcome, Refused, Verified, VerifiedSubject};
use crate::journal::{Pending, PendingBody, ReceiptSlot};
use crate::ports::Ports;

/// Lifetime of an operator's certificate: a working day. The key behind it is pinned, so a new one is cheap.
const OPERATOR_SECS: u64 = 8 * 3600;

/// What an identity will say and how long it lasts.
struct Terms {
    spiffe_path: String,
    actor: Actor,
    subject: IdentitySubject,
    evidence: [u8; 32],
    not_after_secs: u64,
    evidence_until_secs: u64,
    appraisal: String,
}

impl Core {
    /// Takes the outcome of [`crate::Introducer::prove`]: uses up its challenge and issues the identity, or logs
    /// the refusal. Of many proofs over one challenge exactly one is admitted (F4); a proof that failed leaves
    /// its challenge usable (F5).
    pub fn admit(&mut self, outcome: ProveOutcome, now: u64, ports: &mut dyn Ports) -> Pending {
        let now = self.advance_clock(now);
        if self.has_ended() {
            return introduction(self.durable_now(), IntroductionReply::Refusal(RefusalCode::Busy.into()));
        }
        match outcome.0 {
            Ok(verified) => match self.issue(&verified, now, ports) {
                Ok(pending) => pending,
                Err(code) => {
                    let key = verified.key.spki().to_vec();
                    let claim =
                        verified.claim().map(|(role, evidence)| Claim { role, key, evidence, rule: None });
                    self.refuse_introduction(Refused { refusal: code.into(), claim }, now, ports)
                }
            },
            Err(refused) => self.refuse_introduction(*refused, now, ports),
        }
    }

    fn refuse_introduction(&mut self, refused: Refused, now: u64, ports: &mut dyn Ports) -> Pending {
        let Refused { refusal, claim } = refused;
        let mut need = self.durable_now();
        if let Some(Claim { role, key, evidence, rule }) = claim {
            let action = Action::Introduce { key, evidence, rule };
            let decision = Decision::Refused(refusal.code);
            match self.entry((Actor::Unknown(role), None, action, decision), now, ports) {
                Ok(entry) => need = self.log_access(&entry, None),
                Err(code) => return introduction(need, IntroductionReply::Refusal(code.into())),
            }
        }
        introduction(need, IntroductionReply::Refusal(refusal))
    }

    fn issue(
        &mut self,
        verified: &Verified,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Pending, RefusalCode> {
        if !Arc::ptr_eq(&verified.roles, &self.state().roles) && self.role_changed(verified) {
            return Err(RefusalCode::Busy);
        }
        let terms = self.terms(verified, now)?;
        // Every check has passed: from here on the challenge is used. Before the signature, so that a replay
        // costs nothing.
        self.consume(&verified.challenge, now)?;
        let number = self.state().next_identity;
        let leaf = Leaf {
            serial: number,
            spiffe_path: &terms.spiffe_path,
            usage: Usage::Client,
            not_after_secs: terms.not_after_secs,
        };
        let issued = self.state().authority.issue(&verified.key, &leaf, now);
        let certificate = issued.map_err(|_| RefusalCode::Busy)?;
        let action =
            Action::Introduce { key: verified.key.spki().to_vec(), evidence: terms.evidence, rule: None };
        let entry = self.entry((terms.actor, None, action, Decision::Allowed), now, ports)?;
        let change = Change::Identity(Identity {
            number,
            certificate: sha256(&[&certificate]),
            key: verified.key.spki().to_vec(),
            subject: terms.subject,
            not_after_secs: terms.not_after_secs,
            evidence_until_secs: terms.evidence_until_secs,
        });
        let slot = ReceiptSlot::default();
        let need = self.commit(&entry, &change, Some(slot.clone()), now);
        let grant = Grant {
            certificate,
            authority: self.state().authority.certificate().to_vec(),
            not_after_secs: terms.not_after_secs,
            evidence_until_secs: terms.evidence_until_secs,
            appraisal: terms.appraisal,
            receipt: empty_receipt(),
        };
        Ok(Pending::new(need, PendingBody::Grant(grant, slot)))
    }

    /// Roles were replaced while the proof was verified: what was verified no longer counts, if it was this one.
    fn role_changed(&self, verified: &Verified) -> bool {
        match &verified.subject {
            VerifiedSubject::Operator(_) => false,
            VerifiedSubject::Agent { role, .. } => {
                let then = verified.roles.get(role).map(|role| &role.role);
                then != self.state().roles.get(role).map(|role| &role.role)
            }
        }
    }

    fn terms(&self, verified: &Verified, now: u64) -> Result<Terms, RefusalCode> {
        match &verified.subject {
            VerifiedSubject::Agent { role: name, appraisal } => {
                let role = &self.state().roles.get(name).ok_or(RefusalCode::Evidence)?.role;
                let evidence = appraisal.evidence_digest;
                let platform = platform_id(&appraisal.platform_id);
                Ok(Terms {
                    spiffe_path: role.spiffe_path.clone(),
                    actor: Actor::Agent {
                        role: name.clone(),
                        identity: self.state().next_identity,
                        evidence,
                    },
                    subject: IdentitySubject::Agent { role: name.clone(), evidence, platform },
                    evidence,
                    not_after_secs: now.saturating_add(u64::from(role.identity_ttl_secs)),
                    evidence_until_secs: now.saturating_add(u64::from(role.evidence_max_age_secs)),
                    appraisal: describe(appraisal),
                })
            }
            VerifiedSubject::Operator(name) => Ok(Terms {
                spiffe_path: format!("/operator/{name}"),
                actor: Actor::Operator(name.clone()),
                subject: IdentitySubject::Operator(name.clone()),
                evidence: [0; 32],
                not_after_secs: now.saturating_add(OPERATOR_SECS),
                evidence_until_secs: now.saturating_add(OPERATOR_SECS),
                appraisal: "operator key pinned at init".to_owned(),
            }),
        }
    }
}

impl Verified {
    /// What the log says of a proof that passed but came too late.
    fn claim(&self) -> Option<(vouchsafe_protocol::id::RoleName, [u8; 32])> {
        match &self.subject {
            VerifiedSubject::Agent { role, appraisal } => Some((role.clone(), appraisal.evidence_digest)),
            VerifiedSubject::Operator(name) => Some((name.as_str().parse().ok()?, [0; 32])),
        }
    }
}

fn introduction(need: crate::journal::Durable, reply: IntroductionReply) -> Pending {
    Pending::new(need, PendingBody::Introduction(Box::new(reply)))
}

/// Takes the place of a grant's receipt until its frame is cut; never sent.
fn empty_receipt() -> Receipt {
    Receipt {
        stream: StreamId::Journal,
        leaf_index: 0,
        entry: Vec::new(),
        state_digest: [0; 32],
        proof: Vec::new(),
        checkpoint: Vec::new(),
    }
}

fn platform_id(id: &PlatformId) -> Vec<u8> {
    match id {
        PlatformId::Ek(digest) => digest.to_vec(),
        PlatformId::PinnedAk(name) => name.to_vec(),
        PlatformId::Chip(chip) => chip.0.to_vec(),
    }
}

/// In words, and always saying so when it is simulated.
fn describe(appraisal: &Appraisal) -> String {
    let class = match appraisal.anchor_class {
        AnchorClass::Hardware => "",
        AnchorClass::Simulated => "simulated, ",
    };
    let platform = match &appraisal.class {
        PlatformClass::SnpVcek { product } => format!("SEV-SNP on {product:?}, one chip"),
        PlatformClass::SnpVlek { product } => format!("SEV-SNP on {product:?}, a provider's chip"),
        PlatformClass::Tpm { anchor, kind: _ } => format!("TPM of {anchor}"),
        PlatformClass::TpmPinned => "pinned TPM".to_owned(),
    };
    format!("{class}{platform}, accepted by rule {}", appraisal.rule + 1)
}
