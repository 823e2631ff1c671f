//! Kinds snp-report, snp-parse, vek-chain and crl.

use serde_json::{Value, json};
use vouchsafe_attestation::snp::crl::RevocationList;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::rules::{self, Claimed, SnpRuleError};
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::snp::verify::{ReadReport, SnpError, VerifiedReport, endorse};
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, StatementPreimage, appraise,
};
use vouchsafe_protocol::evidence::{Evidence, SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::policy::{Accept, ChipRule, Permission, Product, RevocationRule, SnpAccept};

use super::{Running, anchors, claims};
use crate::verdict::{Run, Stop};

/// A report with its endorsement, under the policy of the case.
pub(super) fn check(running: &Running<'_>) -> Run {
    let evidence =
        SnpEvidence { report: running.file("report")?.to_vec(), endorsements: endorsements(running)? };
    match running.statement()? {
        Some(statement) => appraised(running, evidence, &statement),
        None => {
            let (verified, warnings) = verified(running, &evidence)?;
            let shown = claims::report(verified.report(), Some(verified.product()));
            Ok(claims::with_warnings(shown, &warnings))
        }
    }
}

/// A report alone: whether it parses.
pub(super) fn parse(running: &Running<'_>) -> Run {
    let report = Report::parse(running.file("report")?).map_err(SnpError::Report)?;
    Ok(claims::report(&report, report.cpuid.and_then(|cpuid| cpuid.product())))
}

/// A VEK certificate without a report.
pub(super) fn check_vek_chain(running: &Running<'_>) -> Run {
    let at = running.at()?;
    let roots = running.anchors.amd();
    let vek = VekCertificate::parse(&running.der("leaf")?).map_err(SnpError::Vek)?;
    let intermediate = running.optional_der("intermediate1")?;
    endorse(&vek, intermediate.as_deref(), roots, at)?;
    check_offered_root(running, "root", vek.claims.product)?;
    Ok(json!({ "product": format!("{:?}", vek.claims.product) }))
}

/// A revocation list of a product's root.
pub(super) fn check_crl(running: &Running<'_>) -> Run {
    let at = running.at()?;
    let roots = running.anchors.amd();
    let crl = running.der("crl")?;
    let offered = running.optional_der("ark")?;
    let product = match (&running.case.product, &offered) {
        (Some(name), _) => anchors::product(name)?,
        (None, Some(ark)) => PRODUCTS
            .into_iter()
            .find(|product| roots.ark(*product) == Some(ark.as_slice()))
            .ok_or_else(|| Stop::refused("case.root", &NotPinned))?,
        (None, None) if running.callers_roots.is_some() => {
            RevocationList::verify_any(&crl, roots).map_err(Stop::from)?.0
        }
        (None, None) => return Err(Stop::missing("ark")),
    };
    check_offered_root(running, "ark", product)?;
    let list = RevocationList::verify(&crl, roots, product)?;
    // Of the list alone: a serial longer than any certificate may have (RFC 5280, section 4.1.2.2) is on none.
    list.check(&[1; 21], &[1; 21], running.policy.crl_max_age_secs(), at)?;
    Ok(json!({ "product": format!("{product:?}"), "revoked": list.len() }))
}

const PRODUCTS: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];

/// The whole appraisal, as a vault does it.
fn appraised(running: &Running<'_>, evidence: SnpEvidence, statement: &StatementPreimage) -> Run {
    let report = Report::parse(&evidence.report).map_err(SnpError::Report)?;
    let rules = match running.rules {
        Some(rules) => rules.to_vec(),
        None => vec![Accept::Snp(running.policy.snp_accept(&report)?)],
    };
    let context =
        Context { anchors: running.anchors, collateral: &Collateral::new(), now_unix_secs: running.now()? };
    let evidence = Evidence::Snp(evidence);
    let appraisal =
        appraise(&evidence, statement, &rules, Residency::NotATpm, context, &mut ChainCache::new())?;
    running.accepted_by.set(Some(appraisal.rule));
    let product = report.cpuid.and_then(|cpuid| cpuid.product());
    Ok(claims::with_warnings(claims::report(&report, product), &appraisal.warnings))
}

/// The checks of the default policy, one after another, for evidence over a statement that is not an introduction's.
pub(super) fn verified<'a>(
    running: &Running<'_>,
    evidence: &'a SnpEvidence,
) -> Run<(VerifiedReport<'a>, Vec<rules::Warning>)> {
    let now = running.now()?;
    let at = running.at()?;
    let roots = running.anchors.amd();
    let mut cache = ChainCache::new();
    let read = ReadReport::read(evidence)?;
    if running.policy.report_data.is_some_and(|pin| pin.0 != read.report().report_data) {
        return Err(AppraisalError::Statement.into());
    }
    let read = read.with_vek(roots, &cache)?;
    let (accept, warnings) = accepting(running, read.claimed(), now)?;
    let masked = match running.rules {
        None => running.policy.masked(),
        Some(_) if matches!(accept.chip, ChipRule::AnyChipEvenMasked) => Permission::Allowed,
        Some(_) => Permission::Forbidden,
    };
    let verified = read.verify(roots, masked, at, &mut cache)?;
    let product = verified.product();
    // The default policy: a list that is there counts, however old inside its own dates.
    let rule = match (accept.revocation, &evidence.endorsements.crl) {
        (RevocationRule::Unchecked, Some(_)) => RevocationRule::Checked { max_age_secs: u32::MAX },
        (rule, _) => rule,
    };
    verified.check_revocation(rule, roots, at, &mut cache)?;
    check_offered_root(running, "ark", product)?;
    if let Some(expected) = &running.case.product
        && anchors::product(expected)? != product
    {
        return Err(Stop::refused("case.product", &OtherProduct));
    }
    Ok((verified, warnings))
}

/// The rule that accepts a report: the case's policy, or the first of the rules of a role that does. Else the refusal
/// of the rule that got furthest.
fn accepting(running: &Running<'_>, claimed: Claimed<'_>, now: u64) -> Run<(SnpAccept, Vec<rules::Warning>)> {
    let Some(rules) = running.rules else {
        let accept = running.policy.snp_accept(claimed.report)?;
        let warnings = rules::check(claimed, &accept, now)?;
        return Ok((accept, warnings));
    };
    let mut furthest: Option<SnpRuleError> = None;
    for (index, rule) in rules.iter().enumerate() {
        let Accept::Snp(accept) = rule else { continue };
        match rules::check(claimed, accept, now) {
            Ok(warnings) => {
                running.accepted_by.set(Some(index));
                return Ok((accept.clone(), warnings));
            }
            Err(error) if furthest.is_none_or(|kept| error.step() > kept.step()) => furthest = Some(error),
            Err(_) => {}
        }
    }
    Err(furthest.map_or_else(|| AppraisalError::Kind.into(), Stop::from))
}

/// The certificates and list beside a report.
pub(super) fn endorsements(running: &Running<'_>) -> Run<SnpEndorsements> {
    let vek = match (running.optional_der("vcek")?, running.optional_der("vlek")?) {
        (Some(_), Some(_)) => return Err(Stop::refused("case.endorsements", &TwoEndorsements)),
        (vcek, vlek) => vcek.or(vlek),
    };
    Ok(SnpEndorsements { vek, intermediate: running.optional_der("ask")?, crl: running.optional_der("crl")? })
}

/// A root that is offered must be the one that holds for the product; it is never believed for itself.
fn check_offered_root(running: &Running<'_>, part: &str, product: Product) -> Run<()> {
    match running.optional_der(part)? {
        Some(offered) if running.anchors.amd().ark(product) != Some(offered.as_slice()) => {
            Err(Stop::refused("case.root", &NotPinned))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the offered root is not the one that holds for the product")]
struct NotPinned;

#[derive(Debug, thiserror::Error)]
#[error("the evidence is of another product than the case says")]
struct OtherProduct;

#[derive(Debug, thiserror::Error)]
#[error("there are two endorsements")]
struct TwoEndorsements;

/// Used by the paravisor's report, which has the same endorsements.
pub(super) fn shown(verified: &VerifiedReport<'_>) -> Value {
    claims::report(verified.report(), Some(verified.product()))
}
