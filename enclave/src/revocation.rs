//! Decisions to end identities and leases. One costs the same whomever it hits: it is written down, holds for the very next
//! request of every holder, and what it ended is cleaned up afterwards, step by step.
//!
//! INVARIANT: a decision hits what was handed out before it, and nothing after: whoever still satisfies the policy can
//! come back with new evidence. To keep somebody out, change the policy.

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::limits::REVOCATIONS;
use vouchsafe_protocol::refusal::RefusalCode;

use crate::change::{Identity, IdentitySubject};
use crate::lease::STEP;
use crate::state::State;

/// Code of an identity that was revoked.
pub(crate) const REVOKED: &str = "identity.revoked";

/// A decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub selector: Selector,
    /// Identities with lower numbers were issued before.
    pub identities_below: u64,
    /// Leases with lower numbers were handed out before.
    pub leases_below: u64,
}

/// Decisions after which not everything is cleaned up yet.
#[derive(Default)]
pub(crate) struct Revocations {
    decisions: Vec<Revocation>,
    /// Leases are left whose identity ended without a decision.
    pub left: bool,
    pass: Option<Pass>,
}

/// Cleaning up goes once over everything for the decisions that were there when it began.
struct Pass {
    decisions: usize,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    Identities(u64),
    Leases(u64),
}

impl Revocations {
    /// Whether there is nothing to clean up after.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty() && !self.left && self.pass.is_none()
    }

    pub fn add(&mut self, decision: Revocation) {
        self.decisions.push(decision);
    }

    /// Whether a decision ends this identity.
    pub fn end_identity(&self, identity: &Identity) -> bool {
        self.decisions.iter().any(|decision| decision.ends_identity(identity))
    }

    /// Whether a decision ends this lease, beside the identity that it rests on.
    pub fn end_lease(&self, number: u64, path: &str) -> bool {
        self.decisions.iter().any(|decision| decision.ends_lease(number, path))
    }

    /// Feeds everything to a digest of the state, each part framed.
    pub fn digest_into(&self, part: &mut dyn FnMut(&[u8])) {
        part(&[u8::from(self.left)]);
        for decision in &self.decisions {
            part(&vouchsafe_protocol::codec::encode(decision).unwrap_or_default());
        }
        if let Some(Pass { decisions, next }) = &self.pass {
            let (kind, number) = match next {
                Next::Identities(number) => (0u8, number),
                Next::Leases(number) => (1, number),
            };
            part(&[kind]);
            part(&number.to_be_bytes());
            part(&decisions.to_be_bytes());
        }
    }
}

impl Revocation {
    fn ends_identity(&self, identity: &Identity) -> bool {
        if identity.number >= self.identities_below {
            return false;
        }
        match (&self.selector, &identity.subject) {
            (Selector::Identity(number), _) => identity.number == *number,
            (Selector::Lease(_) | Selector::Prefix(_), _) | (_, IdentitySubject::Operator(_)) => false,
            (Selector::EvidenceBefore(secs), IdentitySubject::Agent { .. }) => identity.at_secs < *secs,
            (Selector::Measurement(bytes), IdentitySubject::Agent { measurement, .. }) => {
                measurement == bytes
            }
            (Selector::Platform(bytes), IdentitySubject::Agent { platform, .. }) => platform == bytes,
            (Selector::Role(name), IdentitySubject::Agent { role, .. }) => role == name,
        }
    }

    fn ends_lease(&self, number: u64, path: &str) -> bool {
        number < self.leases_below
            && match &self.selector {
                Selector::Prefix(prefix) => path
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                Selector::EvidenceBefore(_)
                | Selector::Identity(_)
                | Selector::Lease(_)
                | Selector::Measurement(_)
                | Selector::Platform(_)
                | Selector::Role(_) => false,
            }
    }
}

impl State {
    /// A decision on what has been handed out so far.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] for an identity that there is not; [`RefusalCode::Busy`] while too many
    /// decisions are being cleaned up after.
    pub fn plan_revocation(&self, selector: Selector) -> Result<Revocation, RefusalCode> {
        let known = match &selector {
            Selector::Identity(number) => self.identities.get(*number).is_some(),
            // One lease is ended on the spot, not by a decision.
            Selector::Lease(_) => false,
            Selector::EvidenceBefore(_)
            | Selector::Measurement(_)
            | Selector::Platform(_)
            | Selector::Prefix(_)
            | Selector::Role(_) => true,
        };
        if !known {
            return Err(RefusalCode::NotFound);
        }
        if self.revocations.decisions.len() >= REVOCATIONS {
            return Err(RefusalCode::Busy);
        }
        let (identities_below, leases_below) = (self.identities.next(), self.leases.next());
        Ok(Revocation { selector, identities_below, leases_below })
    }

    /// One step of cleaning up after decisions; the same step at a restart.
    pub fn sweep(&mut self) {
        let count = self.revocations.decisions.len();
        let begun = self.revocations.pass.take();
        let Pass { decisions, next } = begun.unwrap_or_else(|| {
            self.revocations.left = false;
            Pass { decisions: count, next: Next::Identities(0) }
        });
        let next = match next {
            Next::Identities(from) => {
                let looked: Vec<_> = self.identities.from(from).take(STEP).map(|one| one.number).collect();
                for number in &looked {
                    let ended =
                        self.identities.get(*number).is_some_and(|one| self.revocations.end_identity(one));
                    if ended {
                        self.identities.remove(*number);
                        self.seen.remove(*number);
                    }
                }
                match looked.last().filter(|_| looked.len() == STEP) {
                    Some(last) => Some(Next::Identities(last + 1)),
                    None => Some(Next::Leases(0)),
                }
            }
            Next::Leases(from) => {
                let (identities, revocations) = (&self.identities, &self.revocations);
                let goes = |number, path: &str, identity| {
                    identities.get(identity).is_none() || revocations.end_lease(number, path)
                };
                self.leases.sweep(from, goes).map(Next::Leases)
            }
        };
        match next {
            Some(next) => self.revocations.pass = Some(Pass { decisions, next }),
            None => drop(self.revocations.decisions.drain(..decisions.min(count))),
        }
    }
}
