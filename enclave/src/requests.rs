//! Requests of sessions: who may ask what, what it does, and its log entry.
//!
//! Every request is logged, allowed or refused; a refused one changes nothing else (V3).

use vouchsafe_log::Rung;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::AnchorName;
use vouchsafe_protocol::kv::{KvRequest, KvSelect, SecretValue};
use vouchsafe_protocol::limits::{KV_VERSIONS, RESULT_NONCE_LEN, ROLES, SESSION_FRAME_LEN};
use vouchsafe_protocol::log::{Action, Actor, Decision, PolicyRule};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::grants::{Ruling, Wanted};
use vouchsafe_protocol::policy::{Accept, LeaseTerms, Role};
use vouchsafe_protocol::policy_check::check_role;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::{Outcome, Reply, Request, Status};

use crate::change::{Change, IdentitySubject};
use crate::collateral::imported;
use crate::core::{Asked, Core, Handled};
use crate::identity::role_digest;
use crate::journal::Durable;
use crate::kv::Plan;
use crate::lease::NewLease;
use crate::leasing::{self, handed_out, named_lease};
use crate::policy::{Need, operators_may};
use crate::ports::Ports;
use crate::session::SessionId;
use crate::{derive, transit};

/// What a request comes to.
pub(crate) struct Decided {
    pub action: Action,
    pub change: Option<Change>,
    pub reply: Reply,
}

/// A request that policy allows, decided on.
struct Allowed {
    decided: Decided,
    special: Special,
    rule: PolicyRule,
    lease: Option<NewLease>,
}

/// A request that is refused.
struct Refused {
    action: Action,
    refusal: Refusal,
    /// The rule that refused it, or that would have allowed it.
    rule: PolicyRule,
}

/// What policy allows.
#[derive(Clone, Copy)]
pub(crate) struct Ruled {
    pub rule: PolicyRule,
    pub lease: LeaseTerms,
}

impl Default for Ruled {
    /// What no rule is asked for.
    fn default() -> Self {
        Self { rule: PolicyRule::None, lease: LeaseTerms::None }
    }
}

/// What policy refuses.
#[derive(Clone, Copy)]
pub(crate) struct Unruled {
    pub code: RefusalCode,
    pub rule: PolicyRule,
}

impl Decided {
    pub fn look(reply: Reply) -> Result<Self, RefusalCode> {
        Ok(Self { action: Action::Look, change: None, reply })
    }
}

impl Core {
    /// Handles a request that continues its session's chain.
    pub(crate) fn request(
        &mut self,
        id: SessionId,
        asked: Asked,
        body: &[u8],
        now: u64,
        ports: &mut dyn Ports,
    ) -> Handled {
        let Ok(session) = self.session(id) else {
            return Handled::Nothing;
        };
        let (subject, actor) = (session.identity.subject.clone(), session.actor());
        let request = match codec::decode::<Request>(body, SESSION_FRAME_LEN) {
            Ok(request) => request,
            Err(_) => {
                let refusal = RefusalCode::Malformed.into();
                let refused = Refused { action: Action::Look, refusal, rule: PolicyRule::None };
                return self.refuse(asked, actor, refused, now, ports);
            }
        };
        let action = named(&request);
        if let Err(refusal) = self.check_standing(id, now, ports) {
            return self.refuse(
                asked,
                actor,
                Refused { action, refusal, rule: PolicyRule::None },
                now,
                ports,
            );
        }
        let newest = self.newest_of(id).map_or(0, |identity| identity.number);
        let Ruled { rule, lease } = match needed(&request).map(|need| self.rule(newest, &need, now)) {
            None => Ruled::default(),
            Some(Ok(ruled)) => ruled,
            Some(Err(Unruled { code, rule })) => {
                return self.refuse(asked, actor, Refused { action, refusal: code.into(), rule }, now, ports);
            }
        };
        let lease = handed_out(&request).map(|what| (what, lease));
        let special = Special::of(id, &request);
        let decided = self.decide(id, &subject, request, now, ports).and_then(|decided| {
            let lease = match lease {
                Some(((path, can), terms)) => self.lease(id, (&path, can), terms, now)?,
                None => None,
            };
            Ok((decided, lease))
        });
        match decided {
            Ok((decided, lease)) => {
                self.carry_out(asked, actor, Allowed { decided, special, rule, lease }, now, ports)
            }
            Err(refusal) => self.refuse(asked, actor, Refused { action, refusal, rule }, now, ports),
        }
    }

    /// What policy says of it, now; the one place where it is asked.
    ///
    /// # Errors
    /// [`Unruled`]: [`RefusalCode::Denied`], or [`RefusalCode::Path`] for a path that is not the engine's.
    pub(crate) fn rule(&self, identity: u64, need: &Need<'_, ()>, now: u64) -> Result<Ruled, Unruled> {
        let denied = |rule| Unruled { code: RefusalCode::Denied, rule };
        let state = self.state();
        let identity = state.identities.get(identity).ok_or_else(|| denied(PolicyRule::None))?;
        let ruled = match identity.asking(now) {
            Some(asking) => {
                let role = state.roles.get(asking.role).ok_or_else(|| denied(PolicyRule::None))?;
                let wanted = Wanted { capability: need.capability, path: need.path, below: need.below };
                match role.grants.ruling(wanted, asking) {
                    Ruling::Allowed { rule, lease } => Ruled { rule, lease },
                    Ruling::Denied(rule) => return Err(denied(rule)),
                }
            }
            None if operators_may(need.capability) => Ruled::default(),
            None => return Err(denied(PolicyRule::None)),
        };
        if need.in_mount() { Ok(ruled) } else { Err(Unruled { code: RefusalCode::Path, rule: ruled.rule }) }
    }

    /// Decides without changing anything.
    fn decide(
        &self,
        id: SessionId,
        subject: &IdentitySubject,
        request: Request,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Decided, Refusal> {
        match (subject, request) {
            (IdentitySubject::Agent { .. }, Request::AttestationResult { nonce }) => {
                let (jwt, action) = self.attestation_result(id, nonce, now)?;
                Ok(Decided { action, change: None, reply: Reply::AttestationResult(jwt) })
            }
            (_, Request::Checkpoint { from_size }) => {
                let (note, proof) = self.journal().consistency(from_size).ok_or(RefusalCode::NotFound)?;
                Ok(Decided::look(Reply::Checkpoint { note, proof })?)
            }
            (_, Request::Derive(request)) => Ok(self.decide_derive(subject, request, now, ports)?),
            (_, Request::Lease(request)) => Ok(self.decide_lease(id, subject, request, now)?),
            (_, Request::Kv(request)) => Ok(self.decide_kv(id, request, now, ports)?),
            (_, Request::Transit(request)) => Ok(self.decide_transit(request, now, ports)?),
            (IdentitySubject::Agent { .. }, _) => Err(RefusalCode::Denied.into()),
            (IdentitySubject::Operator(_), request) => self.decide_operator(request, now),
        }
    }

    fn decide_kv(
        &self,
        id: SessionId,
        request: KvRequest,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Decided, RefusalCode> {
        let need = Need::of(&request);
        if let KvRequest::Watch { path, .. } = &request {
            self.check_watch(id, path)?;
        }
        let (operation, path) = (need.operation, need.path.to_string());
        let Plan { reply, change, versions } = self.state().kv.plan(request, now, ports)?;
        Ok(Decided { action: Action::Kv { operation, path, versions }, change, reply: Reply::Kv(reply) })
    }

    fn decide_operator(&self, request: Request, now: u64) -> Result<Decided, Refusal> {
        match request {
            Request::AuditKey => {
                let key = SecretValue::new(self.audit_key.expose_secret().to_vec());
                Ok(Decided { action: Action::AuditKey, change: None, reply: Reply::AuditKey(key) })
            }
            // The runtime completes these two with what the host has.
            Request::AuditFrames { .. } => Ok(Decided::look(Reply::AuditFrames(Vec::new()))?),
            Request::AuditStreams => Ok(Decided::look(Reply::AuditStreams(Vec::new()))?),
            Request::CollateralImport(items) => self.decide_import(items, now),
            Request::CollateralList { after } => Ok(Decided::look(self.list_collateral(after))?),
            Request::EvidenceList { after } => {
                Ok(Decided::look(Reply::Evidence(self.state().seen.page(after)))?)
            }
            Request::ForgetTpm { key } => {
                if !self.state().clocks.knows(&key) {
                    return Err(RefusalCode::NotFound.into());
                }
                let change = Some(Change::ForgetTpm { key });
                Ok(Decided { action: Action::ForgetTpm { key }, change, reply: Reply::Done })
            }
            Request::RoleApply(roles) => self.decide_roles(roles),
            Request::RoleList => {
                Ok(Decided::look(Reply::Roles(self.state().roles.keys().cloned().collect()))?)
            }
            Request::RoleShow(name) => {
                let role = self.state().roles.get(&name).ok_or(RefusalCode::NotFound)?;
                Ok(Decided::look(Reply::Role(role.role.clone()))?)
            }
            Request::Seal => Ok(Decided { action: Action::Seal, change: None, reply: Reply::Done }),
            Request::Status => Ok(Decided::look(Reply::Status(self.status()))?),
            Request::AttestationResult { .. } => Err(RefusalCode::Denied.into()),
            Request::Checkpoint { .. }
            | Request::Derive(_)
            | Request::Kv(_)
            | Request::Lease(_)
            | Request::Transit(_) => Err(RefusalCode::Malformed.into()),
        }
    }

    /// All roles of the request are applied, or none. The command line checked them; they are checked again.
    fn decide_roles(&self, roles: Vec<Role>) -> Result<Decided, Refusal> {
        let invalid = |rule: String| Refusal { code: RefusalCode::Role, rule: Some(rule) };
        if roles.is_empty() {
            return Err(invalid("no role given".to_owned()));
        }
        for (index, role) in roles.iter().enumerate() {
            check_role(role).map_err(|error| invalid(format!("{}: {}", role.name, causes(&error))))?;
            if let Some(anchor) = self.missing_anchor(role) {
                let name = &role.name;
                return Err(invalid(format!(
                    "{name}: this vault was initialised without the anchor {anchor}"
                )));
            }
            if roles.iter().skip(index + 1).any(|other| other.name == role.name) {
                return Err(invalid(format!("{}: given twice", role.name)));
            }
        }
        let new = roles.iter().filter(|role| !self.state().roles.contains_key(&role.name)).count();
        if self.state().roles.len() + new > ROLES {
            return Err(RefusalCode::TooLarge.into());
        }
        Ok(Decided { action: applied(&roles), change: Some(Change::Roles(roles)), reply: Reply::Done })
    }

    /// An anchor that a role asks for and that this vault can never know: such a rule would accept nobody.
    fn missing_anchor<'a>(&self, role: &'a Role) -> Option<&'a AnchorName> {
        let asked = role.accept.iter().flat_map(|accept| match accept {
            Accept::Tpm(tpm) => tpm.anchors.as_slice(),
            Accept::Snp(_) | Accept::SnpVtpm(_) => &[],
        });
        let known = &self.state().request.anchors.tpm;
        asked.into_iter().find(|asked| known.iter().all(|anchor| anchor.name != **asked))
    }

    /// Logs, applies, and gives the reply that waits for both.
    fn carry_out(
        &mut self,
        asked: Asked,
        actor: Actor,
        allowed: Allowed,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Handled {
        let Allowed { decided: Decided { action, change, reply }, special, rule, lease } = allowed;
        let mut entry = match self.entry((actor, Some(asked.place), action, Decision::Allowed), now, ports) {
            Ok(entry) => entry,
            Err(code) => {
                return Handled::Reply(asked.answer(self.durable_now(), Outcome::Refused(code.into()), None));
            }
        };
        let told = lease.as_ref().map(|new| new.lease);
        (entry.rule, entry.lease) = (rule, told.map(|lease| lease.number).or(named_lease(&change)));
        let change = match (lease, change) {
            (Some(lease), with) => Some(Change::Lease { lease, with: with.map(Box::new) }),
            (None, change) => change,
        };
        let need: Durable = match &change {
            Some(change) => self.commit(&entry, change, asked.receipt.clone()),
            None => self.log_access(&entry, asked.receipt.clone()),
        };
        match special {
            Special::Fetch { stream, from } => return asked.fetch(need, stream, from),
            Special::None => {}
            Special::Seal => return Handled::Seal(asked.answer(need, Outcome::Done(reply), told)),
            Special::Streams => return asked.streams(need),
            Special::Unwatch { id, path } => self.watches.unwatch(id, &path),
            Special::Watch { id, path, after } => {
                let current = self.state().kv.current(&path);
                self.watches.watch(id, path, (current > after).then_some(current));
            }
        }
        Handled::Reply(asked.answer(need, Outcome::Done(reply), told))
    }

    fn refuse(
        &mut self,
        asked: Asked,
        actor: Actor,
        Refused { action, refusal, rule }: Refused,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Handled {
        let what = (actor, Some(asked.place), action, Decision::Refused(refusal.code));
        let need = match self.entry(what, now, ports) {
            Ok(mut entry) => {
                entry.rule = rule;
                self.log_access(&entry, asked.receipt.clone())
            }
            Err(_) => self.durable_now(),
        };
        Handled::Reply(asked.answer(need, Outcome::Refused(refusal), None))
    }

    fn status(&self) -> Status {
        let (journal_size, access_size) = self.journal().sizes();
        let state = self.state();
        Status {
            vault_id: state.vault_id,
            platform: self.platform.as_str().to_owned(),
            measurement: self.measurement.clone(),
            rung: match self.journal().rung() {
                Rung::R0 => "R0",
                Rung::R1 => "R1",
            }
            .to_owned(),
            epoch: state.mark,
            checkpoint: self.journal().checkpoint(),
            journal_size,
            access_size,
            secrets: state.kv.len() as u64,
            roles: state.roles.len() as u64,
            identities: state.identities.len() as u64,
            sessions: self.session_count() as u64,
        }
    }
}

/// An error and its causes in one line; of our own validator only, whose texts hold nothing but its rules.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Requests whose reply needs more than the core has.
enum Special {
    Fetch { stream: vouchsafe_protocol::link::StreamId, from: u64 },
    None,
    Seal,
    Streams,
    Unwatch { id: SessionId, path: Path },
    Watch { id: SessionId, path: Path, after: u64 },
}

impl Special {
    fn of(id: SessionId, request: &Request) -> Self {
        match request {
            Request::Kv(KvRequest::Unwatch { path }) => Self::Unwatch { id, path: path.clone() },
            Request::Kv(KvRequest::Watch { path, after }) => {
                Self::Watch { id, path: path.clone(), after: *after }
            }
            Request::AuditFrames { stream, from } => Self::Fetch { stream: *stream, from: *from },
            Request::AuditStreams => Self::Streams,
            Request::Seal => Self::Seal,
            // Answered by the core alone.
            _ => Self::None,
        }
    }
}

/// What a request to an engine needs; others have rules of their own.
fn needed(request: &Request) -> Option<Need<'_, ()>> {
    match request {
        Request::Derive(request) => Some(derive::need(request).erased()),
        Request::Kv(request) => Some(Need::of(request).erased()),
        Request::Transit(request) => transit::need(request).map(Need::erased),
        Request::AttestationResult { .. }
        | Request::AuditKey
        | Request::AuditFrames { .. }
        | Request::AuditStreams
        | Request::Checkpoint { .. }
        | Request::CollateralImport(_)
        | Request::CollateralList { .. }
        | Request::EvidenceList { .. }
        | Request::ForgetTpm { .. }
        | Request::Lease(_)
        | Request::RoleApply(_)
        | Request::RoleList
        | Request::RoleShow(_)
        | Request::Seal
        | Request::Status => None,
    }
}

/// Every role by name and digest: none hides behind another in one request.
fn applied(roles: &[Role]) -> Action {
    Action::RoleApply(roles.iter().take(ROLES).map(|role| (role.name.clone(), role_digest(role))).collect())
}

fn named_versions(request: &KvRequest) -> &[u64] {
    match request {
        KvRequest::Delete { versions, .. }
        | KvRequest::Destroy { versions, .. }
        | KvRequest::Undelete { versions, .. } => versions,
        KvRequest::Get { select: KvSelect::Version(version), .. } => std::slice::from_ref(version),
        KvRequest::Configure { .. }
        | KvRequest::Forget { .. }
        | KvRequest::Generate { .. }
        | KvRequest::Get { .. }
        | KvRequest::List { .. }
        | KvRequest::Metadata { .. }
        | KvRequest::Patch { .. }
        | KvRequest::Put { .. }
        | KvRequest::Rotate { .. }
        | KvRequest::Settings { .. }
        | KvRequest::Unwatch { .. }
        | KvRequest::Watch { .. } => &[],
    }
}

/// What the log calls a request, if it is refused.
fn named(request: &Request) -> Action {
    match request {
        Request::AttestationResult { nonce } => {
            Action::AttestationResult { nonce: nonce.iter().copied().take(*RESULT_NONCE_LEN.end()).collect() }
        }
        Request::AuditKey => Action::AuditKey,
        Request::CollateralImport(items) => imported(items),
        Request::Derive(request) => derive::named(request),
        Request::ForgetTpm { key } => Action::ForgetTpm { key: *key },
        Request::Kv(kv) => {
            let need = Need::of(kv);
            let versions = named_versions(kv).iter().copied().take(KV_VERSIONS).collect();
            Action::Kv { operation: need.operation, path: need.path.to_string(), versions }
        }
        Request::Lease(request) => leasing::named(request),
        Request::RoleApply(roles) => applied(roles),
        Request::Seal => Action::Seal,
        Request::Transit(request) => transit::named(request),
        _ => Action::Look,
    }
}
