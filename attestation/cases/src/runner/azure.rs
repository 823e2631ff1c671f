//! Kinds azure-snp and hcl-parse: a paravisor's report and the quote of its virtual TPM.

use serde_json::{Value, json};
use vouchsafe_attestation::azure::{HclReport, RuntimeClaims, VtpmQuote, verify_snp_vtpm};
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::verify::SnpError;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::{ChainCache, Collateral, Context, Residency, StatementPreimage, appraise};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence, SnpVtpmEvidence};
use vouchsafe_protocol::policy::Accept;

use super::{Running, claims, explained, log, pcrs, quote, snp};
use crate::verdict::{Run, Stop};

/// The report of a paravisor alone: whether it parses, and its claims are those of the SNP report in it.
pub(super) fn parse(running: &Running<'_>) -> Run {
    let hcl = HclReport::parse(running.file("hcl")?)?;
    let report = Report::parse(hcl.snp_report()).map_err(SnpError::Report)?;
    hcl.check_report_data(&report.report_data)?;
    let runtime = RuntimeClaims::dangerous_read_unbound(hcl.claims())?;
    Ok(json!({ "version": hcl.version(), "key_ids": runtime.key_ids() }))
}

/// A paravisor's report with its endorsement, and a quote by the key that its claims name.
pub(super) fn check(running: &Running<'_>) -> Run {
    match (running.rules, running.statement()?) {
        (_, Some(statement)) => appraised(running, &statement),
        (Some(rules), None) => {
            let evidence = evidence(running)?;
            explained::check_extra_data(running, &evidence.quote, None)?;
            explained::check_report_data(running, HclReport::parse(&evidence.hcl_report)?.snp_report())?;
            explained::check(running, &Evidence::SnpVtpm(Box::new(evidence)), None, rules)
        }
        (None, None) => verified(running),
    }
}

fn verified(running: &Running<'_>) -> Run {
    let hcl = HclReport::parse(running.file("hcl")?)?;
    let evidence =
        SnpEvidence { report: hcl.snp_report().to_vec(), endorsements: snp::endorsements(running)? };
    let (verified, warnings) = snp::verified(running, &evidence)?;
    let bytes = running.file("quote")?;
    let quote = Quote::parse(bytes).map_err(QuoteError::Attest)?;
    let signature = quote::signature(running)?;
    let values = running.pcrs()?;
    let nonce = running.case.nonce.as_deref().ok_or_else(|| Stop::missing("nonce"))?;
    let extra_data = running.hex(nonce, "the nonce")?;
    let vtpm =
        VtpmQuote { bytes, quote: &quote, signature: &signature, values: &values, extra_data: &extra_data };
    verify_snp_vtpm(&hcl, &verified, vtpm)?;
    let mut shown = claims::quote(&quote, &values);
    if running.files.contains_key("event_log") {
        add(&mut shown, "event_log", log::explain(running, &values)?);
    }
    add(&mut shown, "report", snp::shown(&verified));
    Ok(claims::with_warnings(shown, &warnings))
}

/// The whole appraisal, as a vault does it.
fn appraised(running: &Running<'_>, statement: &StatementPreimage) -> Run {
    let report = HclReport::parse(running.file("hcl")?)?.snp_report().to_vec();
    let report = Report::parse(&report).map_err(SnpError::Report)?;
    let values = running.pcrs()?;
    let rules = match running.rules {
        Some(rules) => rules.to_vec(),
        None => vec![Accept::SnpVtpm(running.policy.snp_vtpm_accept(&report, &values)?)],
    };
    let evidence = evidence(running)?;
    let anchors = running.anchors;
    let context = Context { anchors, collateral: &Collateral::new(), now_unix_secs: running.now()? };
    let evidence = Evidence::SnpVtpm(Box::new(evidence));
    let appraisal =
        appraise(&evidence, statement, &rules, Residency::NotATpm, context, &mut ChainCache::new())?;
    running.accepted_by.set(Some(appraisal.rule));
    let product = report.cpuid.and_then(|cpuid| cpuid.product());
    Ok(claims::with_warnings(claims::report(&report, product), &appraisal.warnings))
}

/// As a vault is shown it.
fn evidence(running: &Running<'_>) -> Run<SnpVtpmEvidence> {
    Ok(SnpVtpmEvidence {
        hcl_report: running.file("hcl")?.to_vec(),
        endorsements: snp::endorsements(running)?,
        quote: running.file("quote")?.to_vec(),
        signature: quote::signature_bytes(running)?,
        pcrs: pcrs::sha256(&running.pcrs()?),
        logs: quote::logs(running),
    })
}

fn add(shown: &mut Value, name: &str, value: Value) {
    if let Some(shown) = shown.as_object_mut() {
        shown.insert(name.to_owned(), value);
    }
}
