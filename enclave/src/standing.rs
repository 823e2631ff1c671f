//! Whether an identity still stands: nothing revoked it, and its evidence satisfies the policy in force now. Asked before
//! every request, so that a decision holds from the next one on.

use vouchsafe_attestation::explain::{Explained, Outcome, Untried, explain_seen, refusal};
use vouchsafe_protocol::log::{Action, Actor, Decision};
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_results::seen::REVOCATION_UNCHECKED;

use crate::change::{Change, Identity, IdentitySubject};
use crate::core::{Core, TWO_BOOTS};
use crate::ports::Ports;
use crate::revocation::REVOKED;
use crate::session::SessionId;
use crate::state::State;

/// Code of an identity whose role is gone.
const ROLE_GONE: &str = "role.gone";
/// Code of an identity whose evidence the vault has forgotten, so that it cannot be judged again.
const EVIDENCE_FORGOTTEN: &str = "evidence.forgotten";
/// Code of an identity whose evidence is older than its role allows now.
const EVIDENCE_AGE: &str = "evidence.age";
/// Identities judged in one step after a change of policy: a few milliseconds.
const JUDGED: usize = 100;
/// Ended leases are cleaned up together, at most this often, in seconds.
const CLEAN_UP_SECS: u64 = 10;

/// What is left to do after decisions, and not part of the state: a start does it all over.
pub(crate) struct Chores {
    /// The identity to judge next under the policy in force.
    judge_from: Option<u64>,
    /// When the next of them gets older than its role lets it since the last change of policy.
    judge_at: u64,
    /// Ended leases wait until then.
    clean_up_at: u64,
}

impl Chores {
    /// Every identity must be judged again.
    pub fn for_all() -> Self {
        Self { judge_from: Some(0), judge_at: u64::MAX, clean_up_at: 0 }
    }
}

impl State {
    /// Judges what an identity's evidence showed by the rules that its role has now.
    ///
    /// # Errors
    /// The stable code of the rule that refused.
    pub fn judge(&self, identity: &Identity, now: u64) -> Result<(), &'static str> {
        let IdentitySubject::Agent { role, .. } = &identity.subject else { return Ok(()) };
        let role = &self.roles.get(role).ok_or(ROLE_GONE)?.role;
        let seen = self.seen.of(identity.number).ok_or(EVIDENCE_FORGOTTEN)?;
        let rules = explain_seen(&seen.facts, &role.accept, now).map_err(|error| error.code())?;
        // What the record does not show was seen when it was made, if it was asked for then; else it does not count.
        let was_seen = |untried: &Untried| match untried {
            Untried::Revocation => !seen.warnings.iter().any(|code| code == REVOCATION_UNCHECKED),
            Untried::Credential | Untried::Freshness | Untried::Logs => false,
        };
        let accepts = |rule: &Explained| matches!(rule.outcome, Outcome::Accepts(_));
        if !rules.iter().any(|rule| accepts(rule) && rule.untried.iter().all(was_seen)) {
            let forgotten = rules.iter().any(accepts);
            return Err(if forgotten { EVIDENCE_FORGOTTEN } else { refusal(&rules).code() });
        }
        self.check_age(identity, now)
    }

    /// Judges an identity as a renewal asks for it: also by what only time changes, as far as what it showed is known.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_again(&self, identity: &Identity, now: u64) -> Result<(), &'static str> {
        match self.judge(identity, now) {
            Err(EVIDENCE_FORGOTTEN) => self.stands(identity, false, now),
            judged => judged,
        }
    }

    /// Judges an identity by its role as it is now, if it was accepted by what that was before; and its age in any case.
    ///
    /// # Errors
    /// As [`Self::judge`].
    fn stands(&self, identity: &Identity, judged: bool, now: u64) -> Result<(), &'static str> {
        let changed = match &identity.subject {
            IdentitySubject::Agent { role, .. } => {
                self.roles.get(role).ok_or(ROLE_GONE)?.since > identity.number
            }
            IdentitySubject::Operator(_) => false,
        };
        if changed && !judged { self.judge(identity, now) } else { self.check_age(identity, now) }
    }

    fn check_age(&self, identity: &Identity, now: u64) -> Result<(), &'static str> {
        if now < self.too_old_at(identity) { Ok(()) } else { Err(EVIDENCE_AGE) }
    }

    /// When an identity's evidence is too old: by what its role said when it was issued, or says now.
    pub fn evidence_end(&self, identity: &Identity) -> u64 {
        identity.evidence_until_secs.min(self.too_old_at(identity))
    }

    /// When it is by what its role says now.
    fn too_old_at(&self, identity: &Identity) -> u64 {
        let IdentitySubject::Agent { role, .. } = &identity.subject else { return u64::MAX };
        let most = self.roles.get(role).map_or(0, |role| role.role.evidence_max_age_secs);
        identity.at_secs.saturating_add(u64::from(most))
    }
}

impl Core {
    /// Ends a session's identity that does not stand any more.
    ///
    /// 1. no later boot of its TPM was seen (T11);
    /// 2. it is known, and no decision revoked it;
    /// 3. its evidence satisfies the policy in force, which is judged once for each change of policy, and is not too old.
    ///
    /// # Errors
    /// [`Refusal`], with the rule that ended it.
    pub(crate) fn check_standing(
        &mut self,
        id: SessionId,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<(), Refusal> {
        let ended = |rule: &str| Refusal { code: RefusalCode::Identity, rule: Some(rule.to_owned()) };
        // 1
        if let Some(key) = self.left_behind(id) {
            let identities = self.state().identities_of_tpm(&key);
            self.revoke(identities, TWO_BOOTS, now, ports)?;
            return Err(ended(TWO_BOOTS));
        }
        let Ok(session) = self.session(id) else { return Err(RefusalCode::Identity.into()) };
        let (number, judged) = (session.newest(), session.judged);
        // 2
        let state = self.state();
        let identity = state.identities.get(number).filter(|one| !state.revocations.end_identity(one));
        let identity = identity.ok_or_else(|| ended(REVOKED))?;
        // 3
        let revision = state.policy_revision;
        if let Err(rule) = state.stands(identity, judged == revision, now) {
            self.revoke(vec![number], rule, now, ports)?;
            return Err(ended(rule));
        }
        if let Ok(session) = self.session(id) {
            session.judged = revision;
        }
        Ok(())
    }

    /// When there is something to clean up, in seconds since 1970.
    pub(crate) fn next_chore(&self) -> u64 {
        let state = self.state();
        if !state.revocations.is_empty() || self.chores.judge_from.is_some() {
            return 0;
        }
        let first_end = state.leases.first_end().map_or(u64::MAX, |secs| secs.max(self.chores.clean_up_at));
        first_end.min(self.chores.judge_at)
    }

    /// One step of it.
    pub(crate) fn do_chore(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        if self.chores.judge_at <= now {
            (self.chores.judge_from, self.chores.judge_at) = (Some(0), u64::MAX);
        }
        if let Some(from) = self.chores.judge_from {
            return self.judge_some(from, now, ports);
        }
        let change = if self.state().revocations.is_empty() {
            let Some(last) = self.state().leases.ended(now) else { return Ok(()) };
            Change::LeasesEnded { last }
        } else {
            Change::Sweep
        };
        let what = (Actor::Vault, None, Action::CleanUp, Decision::Allowed);
        let entry = self.entry(what, now, ports)?;
        self.commit(&entry, &change, None);
        if self.state().leases.first_end().is_some_and(|secs| secs > now) {
            self.chores.clean_up_at = now.saturating_add(CLEAN_UP_SECS);
        }
        Ok(())
    }

    /// Judges some identities, and ends those whose evidence does not satisfy the policy any more.
    fn judge_some(&mut self, from: u64, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        let state = self.state();
        let some: Vec<&Identity> = state.identities.from(from).take(JUDGED).collect();
        let next = some.last().filter(|_| some.len() == JUDGED).map(|last| last.number + 1);
        let (mut failed, mut judge_at) = (Vec::new(), self.chores.judge_at);
        for identity in some {
            match state.stands(identity, false, now) {
                Ok(()) if state.too_old_at(identity) < identity.evidence_until_secs => {
                    judge_at = judge_at.min(state.too_old_at(identity));
                }
                // It has come to its end by itself.
                Err(_) if identity.evidence_until_secs <= now => {}
                Ok(()) => {}
                Err(rule) => failed.push((identity.number, rule)),
            }
        }
        self.chores.judge_at = judge_at;
        for (number, rule) in failed {
            self.revoke(vec![number], rule, now, ports)?;
        }
        self.chores.judge_from = next;
        Ok(())
    }
}
