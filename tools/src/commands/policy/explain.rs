//! `vouchsafe policy test` and `explain`.

use std::error::Error as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vouchsafe_attestation::explain::{
    Explained, Explanation, NotGenuine, Outcome, Untried, explain, refusal,
};
use vouchsafe_attestation::snp::rules::Warning;
use vouchsafe_attestation::{AppraisalError, ChainCache, Collateral, Context as Judging, TrustAnchors};
use vouchsafe_client::policy;
use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::id::{AnchorClass, RoleName};
use vouchsafe_protocol::policy::{Accept, Role};

use super::compared::{Compared, Shown};
use super::paths::{Asker, Target};
use super::{EvidenceArgs, ExplainArgs, TestArgs, stored};
use crate::context::{Context, now_secs, rfc3339};
use crate::failure::{Failure, Problem, kebab};
use crate::output::Output;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    EachRule,
    Verdict,
}

/// Runs `explain`: on evidence, or on a path.
pub(super) fn explained(args: &ExplainArgs, context: impl Fn() -> Result<Context>) -> Result<Output> {
    let ExplainArgs { evidence, path, can, asker } = args;
    let roles = compiled(evidence)?;
    let role = role_named(&roles, &evidence.role)?;
    match (&evidence.evidence, path, can) {
        (Some(dir), _, _) => on_evidence(evidence, role, dir, Detail::EachRule, context),
        (None, Some(path), Some(can)) => {
            let target =
                Target::new(*can, path).map_err(|error| Problem::usage(format!("'{path}': {error}")))?;
            Ok(Asker::new(role, asker, evidence.at)?.explain(&target))
        }
        (None, _, _) => Err(Problem::usage("name --evidence, or --path and --can").into()),
    }
}

/// Runs `test`: on evidence, on expectations, or on both.
pub(super) fn tested(args: &TestArgs, context: impl Fn() -> Result<Context>) -> Result<Output> {
    let TestArgs { evidence, allows, denies, asker } = args;
    let roles = compiled(evidence)?;
    let role = role_named(&roles, &evidence.role)?;
    let output = match &evidence.evidence {
        Some(dir) => on_evidence(evidence, role, dir, Detail::Verdict, context)?,
        None => Output::new(format!("'{}' on paths", role.name), json!({ "role": role.name.as_str() })),
    };
    if allows.is_empty() && denies.is_empty() {
        return Ok(output);
    }
    let (lines, listed, all) = Asker::new(role, asker, evidence.at)?.expect(allows, denies);
    Ok(output.and(&lines, "paths", listed.into()).failed_if(!all))
}

fn compiled(args: &EvidenceArgs) -> Result<Vec<Role>> {
    policy::compile_files(&args.files).map_err(|error| wrong_usage(error.into()))
}

fn on_evidence(
    args: &EvidenceArgs,
    role: &Role,
    evidence: &Path,
    detail: Detail,
    context: impl Fn() -> Result<Context>,
) -> Result<Output> {
    let EvidenceArgs { files: _, role: _, evidence: _, case, at, anchors } = args;
    let stored = stored::read(evidence, case.as_deref()).map_err(wrong_usage)?;
    // What is not said on the command line is what the pinned vault believes, and else AMD's own roots.
    let anchors = if anchors.is_empty() { pinned(context)? } else { anchors.load().map_err(wrong_usage)? };
    let anchors = TrustAnchors::new(&anchors).context("the trust anchors cannot be used")?;
    let now = at.unwrap_or_else(now_secs);
    let collateral = Collateral::new();
    let judging = Judging { anchors: &anchors, collateral: &collateral, now_unix_secs: now };
    let explanation =
        explain(&stored.evidence, stored.keys.as_ref(), &role.accept, judging, &mut ChainCache::new());
    let simulated = anchors.class() == AnchorClass::Simulated;
    let shown = Shown::of(&stored.evidence);
    let told = Told { role, explanation: &explanation, shown, at: now, simulated };
    Ok(told.output(detail))
}

/// What the command was called with cannot be used: no verdict, and so never the exit code of a refusal.
fn wrong_usage(error: anyhow::Error) -> anyhow::Error {
    let Failure { code: _, message, hint, exit: _ } = Failure::of(&error);
    let problem = Problem::usage(message);
    match hint {
        Some(hint) => problem.hint(hint).into(),
        None => problem.into(),
    }
}

/// One of the roles that were compiled.
pub(super) fn role_named<'a>(roles: &'a [Role], name: &RoleName) -> Result<&'a Role> {
    roles.iter().find(|role| role.name == *name).ok_or_else(|| {
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        Problem::usage(format!("there is no role '{name}' in these files"))
            .hint(format!("they have {}", names.join(", ")))
            .into()
    })
}

fn pinned(context: impl Fn() -> Result<Context>) -> Result<Anchors> {
    let home = context()?.home;
    if home.pin_path().exists() { Ok(home.pin()?.anchors) } else { Ok(super::AnchorArgs::amd_only()) }
}

struct Told<'a> {
    role: &'a Role,
    explanation: &'a Explanation,
    shown: Shown<'a>,
    at: u64,
    simulated: bool,
}

impl Told<'_> {
    fn output(&self, detail: Detail) -> Output {
        let accepted = self.explanation.accepted_by();
        let mut lines = vec![self.verdict(accepted)];
        if self.simulated {
            lines.push("  SIMULATED: judged by roots of simulated hardware".to_owned());
        }
        if let Err(error) = &self.explanation.genuine {
            lines.push(format!("  not genuine: {} [{}]", chain(error), error.code()));
        }
        if let (Detail::Verdict, Some(code)) = (detail, self.refused_by(accepted)) {
            lines.push(format!("  {code}; 'vouchsafe policy explain' says what each rule asks for"));
        }
        let listed: Vec<&Explained> = match detail {
            Detail::EachRule => self.explanation.rules.iter().collect(),
            Detail::Verdict => accepted.into_iter().collect(),
        };
        for rule in listed {
            lines.extend(self.rule_lines(rule));
        }
        let mut json = json!({
            "role": self.role.name.as_str(),
            "at": rfc3339(self.at),
            "simulated": self.simulated,
            "accepted": accepted.is_some(),
            "rule": accepted.map(|rule| rule.index + 1),
            "genuine": self.explanation.genuine.is_ok(),
            "refused": self.refused_by(accepted),
        });
        if let (Detail::EachRule, Some(object)) = (detail, json.as_object_mut()) {
            let rules: Vec<Value> = self.explanation.rules.iter().map(|rule| self.rule_json(rule)).collect();
            object.insert("rules".to_owned(), rules.into());
        }
        Output::new(lines.join("\n"), json).failed_if(accepted.is_none())
    }

    fn verdict(&self, accepted: Option<&Explained>) -> String {
        let (name, at) = (&self.role.name, rfc3339(self.at));
        match accepted {
            Some(rule) => format!("accepted as '{name}' by rule {} at {at}", rule.index + 1),
            None => format!("refused as '{name}' at {at}"),
        }
    }

    /// The one code that stands for a refusal: of the evidence, else of the rule that got furthest.
    fn refused_by(&self, accepted: Option<&Explained>) -> Option<&'static str> {
        match (&self.explanation.genuine, accepted) {
            (Err(error), _) => Some(error.code()),
            (Ok(()), Some(_)) => None,
            (Ok(()), None) => Some(refusal(&self.explanation.rules).code()),
        }
    }

    fn rule_lines(&self, rule: &Explained) -> Vec<String> {
        let accept = self.role.accept.get(rule.index);
        let kind = accept.map_or("", kind_name);
        let number = rule.index + 1;
        let mut lines = match &rule.outcome {
            Outcome::Accepts(_) => vec![format!("  rule {number} ({kind}): accepts")],
            Outcome::OtherKind => vec![format!("  rule {number} ({kind}): is for another kind of evidence")],
            Outcome::Refuses(_) => vec![format!("  rule {number} ({kind}): refuses")],
        };
        match &rule.outcome {
            Outcome::Accepts(warnings) => {
                lines
                    .extend(warnings.iter().map(|warning| format!("    WARNING {}", warning_text(*warning))));
            }
            Outcome::OtherKind => {}
            Outcome::Refuses(refusals) => {
                for refusal in refusals {
                    lines.push(format!("    {} [{}]", innermost(refusal), refusal.code()));
                    let compared = accept.and_then(|accept| self.shown.compared(refusal, accept));
                    if let Some(Compared { expected, actual }) = compared {
                        lines.push(format!("      asked for: {expected}"));
                        lines.extend(actual.map(|actual| format!("      shown:     {actual}")));
                    }
                }
            }
        }
        lines.extend(rule.untried.iter().map(|untried| format!("    not tried: {}", untried_text(*untried))));
        lines
    }

    fn rule_json(&self, rule: &Explained) -> Value {
        let accept = self.role.accept.get(rule.index);
        let (verdict, warnings, refusals) = match &rule.outcome {
            Outcome::Accepts(warnings) => ("accepts", warnings.as_slice(), &[][..]),
            Outcome::OtherKind => ("other-kind", &[][..], &[][..]),
            Outcome::Refuses(refusals) => ("refuses", &[][..], refusals.as_slice()),
        };
        let refusal_json = |refusal: &AppraisalError| {
            let compared = accept.and_then(|accept| self.shown.compared(refusal, accept));
            let (expected, actual) = match compared {
                Some(Compared { expected, actual }) => (Some(expected), actual),
                None => (None, None),
            };
            json!({
                "code": refusal.code(),
                "message": innermost(refusal),
                "expected": expected,
                "actual": actual,
            })
        };
        json!({
            "rule": rule.index + 1,
            "kind": accept.map(kind_name),
            "verdict": verdict,
            "warnings": warnings.iter().map(|warning| kebab(&format!("{warning:?}"))).collect::<Vec<_>>(),
            "refusals": refusals.iter().map(refusal_json).collect::<Vec<_>>(),
            "not_tried": rule.untried.iter().map(|untried| kebab(&format!("{untried:?}"))).collect::<Vec<_>>(),
        })
    }
}

/// The kind of a rule as policy files write it.
pub(super) fn kind_name(rule: &Accept) -> &'static str {
    match rule {
        Accept::Snp(_) => "snp",
        Accept::SnpVtpm(_) => "snp-vtpm",
        Accept::Tpm(_) => "tpm",
    }
}

/// What broke the rule, without what it is a part of.
fn innermost(error: &AppraisalError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn chain(error: &NotGenuine) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn warning_text(warning: Warning) -> &'static str {
    match warning {
        Warning::ReferenceValue => "a reference value has expired and is in its grace",
        Warning::TcbFloor => "a TCB is below the floor and accepted for the grace alone",
    }
}

fn untried_text(untried: Untried) -> &'static str {
    match untried {
        Untried::Credential => {
            "that the TPM opens a credential made for its keys; an introduction asks for it"
        }
        Untried::Freshness => "that the paravisor's report is fresh (user_data)",
        Untried::Logs => "rules over logs, which the vault did not keep",
        Untried::Revocation => "revocation, for which the certificates are needed",
    }
}
