//! One entry of the log, for people and for programs.

use serde_json::{Value, json};
use vouchsafe_protocol::lease::Selector;
use vouchsafe_protocol::link::StreamId;
use vouchsafe_protocol::log::{Action, Actor, AuditEntry, Decision, PolicyRule};

use super::archive::stream_name;
use super::query::path_of;
use crate::context::rfc3339;
use crate::failure::{code_of, kebab};

/// An entry, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) stream: StreamId,
    pub(crate) leaf: u64,
    pub(crate) entry: AuditEntry,
}

impl Placed {
    /// One line.
    pub(crate) fn line(&self) -> String {
        let AuditEntry { blind: _, at_secs, actor, request: _, action, decision, rule: _, lease: _ } =
            &self.entry;
        let decision = match decision {
            Decision::Allowed => "allowed".to_owned(),
            Decision::Refused(code) => format!("refused ({})", code_of(*code)),
        };
        format!(
            "{} {:>12} {:<24} {} {}",
            rfc3339(*at_secs),
            format!("{}#{}", stream_name(self.stream), self.leaf),
            self::actor(actor),
            self::action(action),
            decision,
        )
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let AuditEntry { blind: _, at_secs, actor, request, action, decision, rule, lease } = &self.entry;
        let (kind, name, identity, evidence, platform) = match actor {
            Actor::Agent { role, identity, evidence, platform } => {
                let platform = kebab(&format!("{platform:?}"));
                ("agent", Some(role.to_string()), Some(identity), Some(hex::encode(evidence)), Some(platform))
            }
            Actor::Operator(name) => ("operator", Some(name.to_string()), None, None, None),
            Actor::Unknown(role) => ("unknown", Some(role.to_string()), None, None, None),
            Actor::Vault => ("vault", None, None, None, None),
        };
        let (decision, code) = match decision {
            Decision::Allowed => ("allowed", None),
            Decision::Refused(code) => ("refused", Some(code_of(*code))),
        };
        json!({
            "time": rfc3339(*at_secs),
            "at_secs": at_secs,
            "stream": stream_name(self.stream),
            "leaf_index": self.leaf,
            "actor_kind": kind,
            "actor": name,
            "identity": identity,
            "evidence": evidence,
            "platform": platform,
            "action": code_of_action(action),
            "path": path_of(action),
            "versions": versions_of(action),
            "text": self::action(action),
            "session": request.map(|place| hex::encode(place.session)),
            "request": request.map(|place| place.number),
            "request_digest": request.map(|place| hex::encode(place.digest)),
            "receipt": request.map(|place| place.receipt),
            "rule": match rule {
                PolicyRule::None => None,
                PolicyRule::Allow(number) => Some(format!("allow {number}")),
                PolicyRule::Deny(number) => Some(format!("deny {number}")),
            },
            "lease": lease,
            "decision": decision,
            "code": code,
        })
    }
}

/// What was done, in a word or two that do not change.
fn code_of_action(action: &Action) -> String {
    let word = |operation: &dyn std::fmt::Debug| kebab(&format!("{operation:?}"));
    match action {
        Action::AttestationResult { .. } => "attestation-result".to_owned(),
        Action::AuditKey => "audit-key".to_owned(),
        Action::ChainHead { .. } => "chain-head".to_owned(),
        Action::CleanUp => "clean-up".to_owned(),
        Action::CollateralImport(_) => "collateral-import".to_owned(),
        Action::Derive { operation, .. } => format!("derive.{}", word(operation)),
        Action::EpochBegin { .. } => "epoch-begin".to_owned(),
        Action::EpochEnd { .. } => "epoch-end".to_owned(),
        Action::ForgetTpm { .. } => "forget-tpm".to_owned(),
        Action::Init => "init".to_owned(),
        Action::Introduce { .. } => "introduce".to_owned(),
        Action::Kv { operation, .. } => format!("kv.{}", word(operation)),
        Action::LeaseList => "lease.list".to_owned(),
        Action::LeaseRenew { .. } => "lease.renew".to_owned(),
        Action::LeaseRevoke(_) => "lease.revoke".to_owned(),
        Action::Look => "look".to_owned(),
        Action::Revoke { .. } => "revoke".to_owned(),
        Action::RoleApply(_) => "role-apply".to_owned(),
        Action::Seal => "seal".to_owned(),
        Action::Transit { operation, .. } => format!("transit.{}", word(operation)),
    }
}

fn versions_of(action: &Action) -> Vec<u64> {
    match action {
        Action::Derive { version, .. } => version.iter().copied().map(u64::from).collect(),
        Action::Kv { versions, .. } => versions.clone(),
        Action::Transit { versions, .. } => versions.iter().copied().map(u64::from).collect(),
        _ => Vec::new(),
    }
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Agent { role, identity, evidence: _, platform: _ } => {
            format!("agent {role} (identity {identity})")
        }
        Actor::Operator(name) => format!("operator {name}"),
        Actor::Unknown(role) => format!("unknown (asks for {role})"),
        Actor::Vault => "vault".to_owned(),
    }
}

fn selected(selector: &Selector) -> String {
    match selector {
        Selector::EvidenceBefore(secs) => format!("identities with evidence before {}", rfc3339(*secs)),
        Selector::Identity(number) => format!("identity {number}"),
        Selector::Lease(number) => format!("lease {number}"),
        Selector::Measurement(bytes) => format!("identities of measurement {}", hex::encode(bytes)),
        Selector::Platform(bytes) => format!("identities on platform {}", hex::encode(bytes)),
        Selector::Prefix(path) => format!("leases of {path} and below"),
        Selector::Role(role) => format!("identities of role {role}"),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::AttestationResult { nonce } => {
            format!("sign an attestation result over nonce {}", hex::encode(nonce))
        }
        Action::AuditKey => "hand out the audit key".to_owned(),
        Action::ChainHead { start, upto, head: _, signature: _ } => {
            format!("sign requests up to {upto} of session {}", session_text(start))
        }
        Action::CollateralImport(digests) => {
            let digests: Vec<_> = digests.iter().map(|digest| session_text(digest)).collect();
            format!("import collateral {}", list(&digests))
        }
        Action::Derive { operation, label, version } => {
            let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
            format!("derive {} {label}{version}", kebab(&format!("{operation:?}")))
        }
        Action::EpochBegin { epoch } => format!("begin epoch {epoch}"),
        Action::EpochEnd { epoch, access_size, access_root: _ } => {
            format!("end epoch {epoch} after {access_size} access entries")
        }
        Action::ForgetTpm { key } => format!("forget the clock of TPM key {}", hex::encode(key)),
        Action::Init => "init".to_owned(),
        Action::Introduce { key: _, evidence: _, rule } => match rule {
            Some(rule) => format!("introduce: {rule}"),
            None => "introduce".to_owned(),
        },
        Action::Kv { operation, path, versions } => {
            let versions = match versions.as_slice() {
                [] => String::new(),
                some => format!(" version {}", list(some)),
            };
            format!("kv {} {path}{versions}", kebab(&format!("{operation:?}")))
        }
        Action::CleanUp => "clean up after what has ended".to_owned(),
        Action::LeaseList => "list leases".to_owned(),
        Action::LeaseRenew { path } => format!("renew the lease of {path}"),
        Action::LeaseRevoke(selector) => format!("revoke {}", selected(selector)),
        Action::Look => "look".to_owned(),
        Action::Revoke { identities, rule } => format!("end identities {}: {rule}", list(identities)),
        Action::RoleApply(roles) => {
            format!("apply role {}", list(&roles.iter().map(|(role, _)| role).collect::<Vec<_>>()))
        }
        Action::Seal => "seal".to_owned(),
        Action::Transit { operation, path, versions, items, failed } => {
            let mut text = format!("transit {}", kebab(&format!("{operation:?}")));
            if !path.is_empty() {
                text += &format!(" {path}");
            }
            if !versions.is_empty() {
                text += &format!(" version {}", list(versions));
            }
            match (items, failed) {
                (0, _) => {}
                (items, 0) => text += &format!(", {items} items"),
                (items, failed) => text += &format!(", {items} items, {failed} failed"),
            }
            text
        }
    }
}

/// The first bytes of a session's name: enough to tell it from others.
pub(super) fn session_text(name: &[u8]) -> String {
    hex::encode(name.get(..4).unwrap_or(name))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
