//! Admission: a verified proof becomes an identity, exactly once, and only together with its log entry.

use std::sync::Arc;

use vouchsafe_attestation::Appraisal;
use vouchsafe_attestation::appraisal::PlatformClass;
use vouchsafe_attestation::tpm::clock::ClockError;
use vouchsafe_authority::{Leaf, Usage};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::{AnchorClass, RoleName};
use vouchsafe_protocol::introduction::{Grant, IntroductionReply};
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, Decision, Receipt};
use vouchsafe_protocol::policy::{Role, TpmKind};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::seen::{SeenClock, SeenEvidence};
use vouchsafe_results::seen;

use crate::change::{Admission, Change, Identity, IdentitySubject};
use crate::core::{Core, TWO_BOOTS};
use crate::introduce::{
    Claim, Failure, ProveOutcome, Refused, Verified, VerifiedSubject, evidence_failure, told,
};
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
        let scarce = match &outcome.0 {
            Ok(verified) if matches!(verified.subject, VerifiedSubject::Operator(_)) => false,
            Ok(_) | Err(_) => self.ask_space_at().is_some(),
        };
        if scarce {
            return introduction(self.durable_now(), IntroductionReply::Refusal(RefusalCode::Scarce.into()));
        }
        match outcome.0 {
            Ok(verified) => match self.issue(&verified, now, ports) {
                Ok(pending) => pending,
                Err(failure) => {
                    let key = verified.key.spki().to_vec();
                    let rule = failure.rule.map(str::to_owned);
                    let claim = verified.claim().map(|(role, evidence)| Claim { role, key, evidence, rule });
                    let refusal = told(&self.state().roles, verified.role(), failure);
                    self.refuse_introduction(Refused { refusal, claim }, now, ports)
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

    fn issue(&mut self, verified: &Verified, now: u64, ports: &mut dyn Ports) -> Result<Pending, Failure> {
        if !Arc::ptr_eq(&verified.roles, &self.state().roles) && self.role_changed(verified) {
            return Err(RefusalCode::Busy.into());
        }
        // A revocation list may have come in meanwhile.
        if !Arc::ptr_eq(&verified.collateral, &self.state().collateral) {
            return Err(RefusalCode::Busy.into());
        }
        let terms = self.terms(verified, now)?;
        // The evidence is genuine and fresh: from here on the challenge is used. Before the signature, so that a
        // replay costs nothing; and before the clock is looked at, so that a proof ends identities once only.
        self.consume(&verified.challenge, now)?;
        let clock = self.check_clock(verified, now, ports)?;
        let number = self.state().identities.next();
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
        let seen = self.seen(verified, &terms, clock, now)?;
        let entry = self.entry((terms.actor, None, action, Decision::Allowed), now, ports)?;
        let identity = Identity {
            number,
            certificate: sha256(&[&certificate]),
            key: verified.key.spki().to_vec(),
            subject: terms.subject,
            at_secs: now,
            not_after_secs: terms.not_after_secs,
            evidence_until_secs: terms.evidence_until_secs,
            clock,
        };
        // Whoever has shown new evidence for the same key and role goes on in the sessions that are open.
        self.renew_sessions(&identity);
        let change = Change::Identity(Box::new(Admission { identity, seen }));
        let slot = ReceiptSlot::default();
        let need = self.commit(&entry, &change, Some(slot.clone()));
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

    /// The clock that the evidence showed, if it goes on from what its key showed before (T11). If not, the key is
    /// no longer believed: the identities that it stands behind end, which is logged and durable though the proof
    /// itself is refused.
    fn check_clock(
        &mut self,
        verified: &Verified,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Option<SeenClock>, Failure> {
        let VerifiedSubject::Agent { appraisal, .. } = &verified.subject else { return Ok(None) };
        let Some(clock) = seen::clock(appraisal) else { return Ok(None) };
        let Err(error) = self.state().clocks.check(&clock) else { return Ok(Some(clock)) };
        let (state, identities) = (self.state(), self.state().identities_of_tpm(&clock.key));
        let of_newer_boot =
            state.identities.iter().filter_map(|identity| identity.clock).any(|of_identity| {
                of_identity.key == clock.key && !state.clocks.was_left_behind(&of_identity)
            });
        let rule = match error {
            ClockError::OlderBoot if of_newer_boot => TWO_BOOTS,
            ClockError::Back { .. } | ClockError::Cleared | ClockError::OlderBoot => error.code(),
        };
        self.revoke(identities, rule, now, ports)?;
        Err(evidence_failure(rule))
    }

    /// What is kept of an agent's evidence.
    fn seen(
        &self,
        verified: &Verified,
        terms: &Terms,
        clock: Option<SeenClock>,
        now: u64,
    ) -> Result<Option<SeenEvidence>, RefusalCode> {
        let VerifiedSubject::Agent { role, appraisal, facts } = &verified.subject else { return Ok(None) };
        let rules = &self.state().roles.get(role).ok_or(RefusalCode::Evidence)?.role;
        let domain = self.state().vault_id.trust_domain();
        Ok(Some(SeenEvidence {
            role: role.clone(),
            role_digest: role_digest(rules),
            identity: self.state().identities.next(),
            spiffe_id: format!("spiffe://{domain}{}", terms.spiffe_path),
            at_unix_secs: now,
            not_after_unix_secs: terms.not_after_secs,
            evidence_until_unix_secs: terms.evidence_until_secs,
            evidence_digest: appraisal.evidence_digest,
            platform: seen::platform(&appraisal.platform_id),
            anchor_class: appraisal.anchor_class,
            rule: u32::try_from(appraisal.rule).unwrap_or(u32::MAX),
            warnings: seen::warnings(appraisal, rules.accept.get(appraisal.rule)),
            clock,
            facts: facts.clone(),
        }))
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
            VerifiedSubject::Agent { role: name, appraisal, facts: _ } => {
                let role = &self.state().roles.get(name).ok_or(RefusalCode::Evidence)?.role;
                let evidence = appraisal.evidence_digest;
                let platform = seen::platform(&appraisal.platform_id);
                Ok(Terms {
                    spiffe_path: role.spiffe_path.clone(),
                    actor: Actor::Agent {
                        role: name.clone(),
                        identity: self.state().identities.next(),
                        evidence,
                        platform: seen::kind(appraisal),
                    },
                    subject: IdentitySubject::Agent {
                        role: name.clone(),
                        evidence,
                        platform,
                        measurement: seen::measurement(appraisal),
                        kind: seen::kind(appraisal),
                    },
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
    fn role(&self) -> Option<&RoleName> {
        match &self.subject {
            VerifiedSubject::Agent { role, .. } => Some(role),
            VerifiedSubject::Operator(_) => None,
        }
    }

    /// What the log says of a proof that passed but came too late.
    fn claim(&self) -> Option<(RoleName, [u8; 32])> {
        match &self.subject {
            VerifiedSubject::Agent { role, appraisal, facts: _ } => {
                Some((role.clone(), appraisal.evidence_digest))
            }
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

/// SHA-256 of a role in its typed form.
pub(crate) fn role_digest(role: &Role) -> [u8; 32] {
    sha256(&[&codec::encode(role).unwrap_or_default()])
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
        PlatformClass::SnpVtpm { product } => format!("SEV-SNP on {product:?}, a paravisor's virtual TPM"),
        PlatformClass::Tpm { anchor, kind: TpmKind::Hardware } => format!("TPM of {anchor}"),
        PlatformClass::Tpm { anchor, kind: TpmKind::HostVirtual } => format!("virtual TPM of {anchor}"),
        PlatformClass::TpmPinned => "pinned TPM".to_owned(),
    };
    format!("{class}{platform}, accepted by rule {}", appraisal.rule + 1)
}
