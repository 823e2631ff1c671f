//! Rules of a role on stored evidence: what `vouchsafe policy test` says, for bundles whose statement or credential
//! cannot be checked offline. What was not tried is among the claims.

use serde_json::{Value, json};
use vouchsafe_attestation::explain::{Outcome, Untried, explain, refusal};
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::{AppraisalError, ChainCache, Collateral, Context};
use vouchsafe_protocol::evidence::{Evidence, TpmKeys};
use vouchsafe_protocol::policy::Accept;

use super::{Running, Unopened, claims};
use crate::verdict::{Run, Stop};

/// The first rule that accepts, or the refusal of the one that got furthest.
pub(super) fn check(
    running: &Running<'_>,
    evidence: &Evidence,
    keys: Option<&TpmKeys>,
    rules: &[Accept],
) -> Run {
    let context =
        Context { anchors: running.anchors, collateral: &Collateral::new(), now_unix_secs: running.now()? };
    let explanation = explain(evidence, keys, rules, context, &mut ChainCache::new());
    if let Err(error) = &explanation.genuine {
        return Err(Stop::refused(error.code(), error));
    }
    let Some(accepted) = explanation.accepted_by() else {
        return Err(refusal(&explanation.rules).into());
    };
    // That the key is a TPM's is what all else hangs on.
    if accepted.untried.contains(&Untried::Credential) && running.unopened == Unopened::Refused {
        return Err(AppraisalError::NotResident.into());
    }
    running.accepted_by.set(Some(accepted.index));
    let untried: Vec<&str> = accepted.untried.iter().map(|untried| name(*untried)).collect();
    let warnings = match &accepted.outcome {
        Outcome::Accepts(warnings) => warnings.as_slice(),
        Outcome::OtherKind | Outcome::Refuses(_) => &[],
    };
    Ok(claims::with_warnings(json!({ "not_tried": untried }), warnings))
}

/// That a quote is over the nonce that the case expects, or over a statement, if there is either.
pub(super) fn check_extra_data(running: &Running<'_>, quote: &[u8], statement: Option<[u8; 32]>) -> Run<()> {
    let expected = match (statement, running.case.nonce.as_deref()) {
        (Some(statement), _) => statement.to_vec(),
        (None, Some(nonce)) => running.hex(nonce, "the nonce")?,
        (None, None) => return Ok(()),
    };
    let quote = Quote::parse(quote).map_err(QuoteError::Attest)?;
    if quote.extra_data == expected { Ok(()) } else { Err(QuoteError::ExtraData.into()) }
}

/// That a report is over the data that the case expects, if it expects any.
pub(super) fn check_report_data(running: &Running<'_>, report: &[u8]) -> Run<()> {
    let report = Report::parse(report).map_err(SnpError::Report)?;
    match running.policy.report_data {
        Some(pin) if pin.0 != report.report_data => Err(AppraisalError::Statement.into()),
        _ => Ok(()),
    }
}

/// More claims.
pub(super) fn merge(shown: &mut Value, more: Value) {
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
}

fn name(untried: Untried) -> &'static str {
    match untried {
        Untried::Credential => "credential",
        Untried::Freshness => "freshness",
        Untried::Logs => "logs",
        Untried::Revocation => "revocation",
    }
}
