//! What a role's rules say of paths: `vouchsafe policy explain --path`, and what `policy test` expects of them.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use vouchsafe_protocol::log::PolicyRule;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::policy::grants::{Asking, Grants, Ruling, Said, Wanted};
use vouchsafe_protocol::policy::{Accept, Capability, LeaseTerms, PlatformKind, Renewal, Role};

use crate::context::{now_secs, rfc3339};
use crate::failure::{Problem, kebab};
use crate::output::Output;

/// Who is supposed to ask.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who asks, for paths")]
pub(crate) struct AskerArgs {
    /// Kind of its platform [default: that of the role's first accept rule]
    #[arg(long, value_enum, value_name = "snp|snp-vtpm|tpm", hide_possible_values = true)]
    platform_kind: Option<Kind>,
    /// Age of its evidence in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    evidence_age: u64,
    /// What was measured, for '{measurement}' in rules
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    measurement: Option<Bytes>,
    /// Its chip id or key digest, for '{platform}' in rules
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    platform: Option<Bytes>,
}

/// Bytes in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// Kinds of platform, as policy files write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Snp,
    SnpVtpm,
    Tpm,
}

impl Kind {
    fn platform(self) -> PlatformKind {
        match self {
            Self::Snp => PlatformKind::Snp,
            Self::SnpVtpm => PlatformKind::SnpVtpm,
            Self::Tpm => PlatformKind::Tpm,
        }
    }
}

/// What is asked for, on the command line `CAPABILITY=PATH`; a path with `/*` stands for everything below it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    capability: Capability,
    path: Path,
    below: bool,
}

impl Target {
    /// Of `--can` and `--path`.
    pub(super) fn new(can: Capability, path: &str) -> Result<Self, String> {
        let (text, below) = path.strip_suffix("/*").map_or((path, false), |prefix| (prefix, true));
        let path = text.parse().map_err(|error: vouchsafe_protocol::path::PathError| error.to_string())?;
        Ok(Self { capability: can, path, below })
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { capability: self.capability, path: &self.path, below: self.below }
    }

    fn text(&self) -> String {
        format!("{} {}{}", name(self.capability), self.path, if self.below { "/*" } else { "" })
    }
}

/// `read=kv/billing/db`.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    let (can, path) = text.split_once('=').ok_or("it is CAPABILITY=PATH, as in read=kv/billing/db")?;
    Target::new(capability(can)?, path)
}

/// As policy files write it.
pub(crate) fn capability(text: &str) -> Result<Capability, String> {
    CAPABILITIES.into_iter().find(|known| name(*known) == text).ok_or_else(|| {
        let known: Vec<String> = CAPABILITIES.into_iter().map(name).collect();
        format!("there is no such capability; there are {}", known.join(", "))
    })
}

/// Bytes of a digest or an id.
pub(crate) fn hexadecimal(text: &str) -> Result<Bytes, &'static str> {
    hex::decode(text).map(Bytes).map_err(|_| "it is an even number of hexadecimal digits")
}

const CAPABILITIES: [Capability; 14] = [
    Capability::DataKey,
    Capability::Decrypt,
    Capability::Delete,
    Capability::Derive,
    Capability::Destroy,
    Capability::Encrypt,
    Capability::Export,
    Capability::List,
    Capability::Manage,
    Capability::Read,
    Capability::Rewrap,
    Capability::Sign,
    Capability::Verify,
    Capability::Write,
];

fn name(capability: Capability) -> String {
    kebab(&format!("{capability:?}"))
}

/// A role with whoever is supposed to ask.
pub(super) struct Asker<'a> {
    role: &'a Role,
    grants: Grants,
    args: &'a AskerArgs,
    kind: PlatformKind,
    at: u64,
}

impl<'a> Asker<'a> {
    pub(super) fn new(role: &'a Role, args: &'a AskerArgs, at: Option<u64>) -> Result<Self> {
        let first = role.accept.first().map(|accept| match accept {
            Accept::Snp(_) => PlatformKind::Snp,
            Accept::SnpVtpm(_) => PlatformKind::SnpVtpm,
            Accept::Tpm(_) => PlatformKind::Tpm,
        });
        let kind = args.platform_kind.map(Kind::platform).or(first);
        let kind = kind.ok_or_else(|| Problem::usage("the role accepts nothing"))?;
        Ok(Self { role, grants: Grants::of(role), args, kind, at: at.unwrap_or_else(now_secs) })
    }

    fn asking(&self) -> Asking<'_> {
        let AskerArgs { platform_kind: _, evidence_age, measurement, platform } = self.args;
        Asking {
            role: &self.role.name,
            platform: platform.as_ref().map(|bytes| bytes.0.as_slice()),
            measurement: measurement.as_ref().map(|bytes| bytes.0.as_slice()),
            kind: self.kind,
            evidence_at_secs: self.at.saturating_sub(*evidence_age),
            now_secs: self.at,
        }
    }

    /// Which rule decides, and what each of them says; a denial is a report that ends with exit code 1.
    pub(super) fn explain(&self, target: &Target) -> Output {
        let asking = self.asking();
        let ruling = self.grants.ruling(target.wanted(), asking);
        let (denies, allows) = self.grants.explain(target.wanted(), asking);
        let too_old = self.args.evidence_age >= u64::from(self.role.evidence_max_age_secs);
        let mut lines = vec![format!(
            "{}: {} for '{}' at {}",
            target.text(),
            verdict(ruling),
            self.role.name,
            rfc3339(self.at)
        )];
        if too_old {
            lines.push(
                "  but no session has evidence that old: the role does not let it get there".to_owned(),
            );
        }
        if let Ruling::Allowed { lease, .. } = ruling {
            lines.extend(lease_text(lease).map(|text| format!("  {text}")));
        }
        let mut listed = Vec::new();
        let rules = self.role.deny.iter().map(|deny| &deny.path).zip(denies).zip(1..);
        for ((path, said), number) in rules {
            lines.push(format!("  deny rule {number} ({path}): {}", deny_text(said)));
            listed.push(json!({ "deny": number, "path": path, "says": code(said) }));
        }
        let rules = self.role.allow.iter().map(|allow| &allow.path).zip(allows).zip(1..);
        for ((path, said), number) in rules {
            lines.push(format!("  allow rule {number} ({path}): {}", allow_text(said, ruling, number)));
            listed.push(json!({ "allow": number, "path": path, "says": code(said) }));
        }
        let json = json!({
            "role": self.role.name.as_str(),
            "can": name(target.capability),
            "path": target.path.as_str(),
            "below": target.below,
            "at": rfc3339(self.at),
            "platform_kind": self.kind_name(),
            "evidence_age_secs": self.args.evidence_age,
            "evidence_too_old": too_old,
            "allowed": allowed(ruling) && !too_old,
            "by": by(ruling),
            "lease": lease_json(ruling),
            "rules": listed,
        });
        Output::new(lines.join("\n"), json).failed_if(!allowed(ruling) || too_old)
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            PlatformKind::Snp => "snp",
            PlatformKind::SnpVtpm => "snp-vtpm",
            PlatformKind::Tpm => "tpm",
        }
    }

    /// Which of the expectations hold; one that does not is a report that ends with exit code 1.
    pub(super) fn expect(&self, allows: &[Target], denies: &[Target]) -> (Vec<String>, Vec<Value>, bool) {
        let (mut lines, mut listed, mut all) = (Vec::new(), Vec::new(), true);
        let expected =
            allows.iter().map(|target| (target, true)).chain(denies.iter().map(|target| (target, false)));
        for (target, expected) in expected {
            let ruling = self.grants.ruling(target.wanted(), self.asking());
            let holds = allowed(ruling) == expected;
            all &= holds;
            let mark = if holds { "ok" } else { "NOT AS EXPECTED" };
            lines.push(format!("  {mark}: {} is {}", target.text(), verdict(ruling)));
            listed.push(json!({
                "can": name(target.capability),
                "path": target.path.as_str(),
                "below": target.below,
                "expected": if expected { "allowed" } else { "denied" },
                "allowed": allowed(ruling),
                "by": by(ruling),
            }));
        }
        (lines, listed, all)
    }
}

fn allowed(ruling: Ruling) -> bool {
    matches!(ruling, Ruling::Allowed { .. })
}

fn by(ruling: Ruling) -> Option<String> {
    let (Ruling::Allowed { rule, .. } | Ruling::Denied(rule)) = ruling;
    match rule {
        PolicyRule::None => None,
        PolicyRule::Allow(number) => Some(format!("allow rule {number}")),
        PolicyRule::Deny(number) => Some(format!("deny rule {number}")),
    }
}

fn verdict(ruling: Ruling) -> String {
    let verdict = if allowed(ruling) { "allowed" } else { "denied" };
    match by(ruling) {
        Some(rule) => format!("{verdict} by {rule}"),
        None => format!("{verdict}, as no rule allows it"),
    }
}

fn lease_text(lease: LeaseTerms) -> Option<String> {
    let LeaseTerms::Lease { ttl_secs, max_secs, renewal } = lease else { return None };
    let renewal = match renewal {
        Renewal::FreshEvidence => "with fresh evidence",
        Renewal::SameEvidence => "with the same evidence while it is young enough",
    };
    Some(format!(
        "with a lease of {ttl_secs} s where something is handed out, renewed {renewal} up to {max_secs} s"
    ))
}

fn lease_json(ruling: Ruling) -> Option<Value> {
    let Ruling::Allowed { lease: LeaseTerms::Lease { ttl_secs, max_secs, renewal }, .. } = ruling else {
        return None;
    };
    Some(json!({ "ttl_secs": ttl_secs, "max_secs": max_secs, "renew": kebab(&format!("{renewal:?}")) }))
}

fn code(said: Said) -> &'static str {
    match said {
        Said::Matches => "matches",
        Said::OtherCapability => "other-capability",
        Said::OtherPath => "other-path",
        Said::NoAttribute(_) => "no-attribute",
        Said::EvidenceAge => "evidence-age",
        Said::Platform => "platform",
        Said::Hours => "hours",
    }
}

fn deny_text(said: Said) -> String {
    match said {
        Said::Matches => "refuses it".to_owned(),
        Said::NoAttribute(error) => format!("refuses it, as {error}"),
        other => why_not(other),
    }
}

fn allow_text(said: Said, ruling: Ruling, number: u16) -> String {
    match (said, ruling) {
        (Said::Matches, Ruling::Allowed { rule: PolicyRule::Allow(first), .. }) if first == number => {
            "allows it".to_owned()
        }
        (Said::Matches, Ruling::Allowed { .. }) => "would allow it, but comes later".to_owned(),
        (Said::Matches, Ruling::Denied(_)) => "would allow it, but for the deny rule".to_owned(),
        (Said::NoAttribute(error), _) => format!("allows nothing, as {error}"),
        (other, _) => why_not(other),
    }
}

fn why_not(said: Said) -> String {
    match said {
        Said::Matches | Said::NoAttribute(_) => "is for this",
        Said::OtherCapability => "is for other capabilities",
        Said::OtherPath => "is for other paths",
        Said::EvidenceAge => "is for younger evidence ('evidence_age')",
        Said::Platform => "is for other kinds of platform ('platform')",
        Said::Hours => "is for other times ('hours', 'days', in UTC)",
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
