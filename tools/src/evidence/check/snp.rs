//! Kinds snp-report, snp-parse and vek-chain.

use anyhow::{Context, bail, ensure};
use vouchsafe_attestation::ChainCache;
use vouchsafe_attestation::snp::crl::check_not_revoked;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::roots::AmdRoots;
use vouchsafe_attestation::snp::rules::{WhichTcb, check_floor, check_guest_policy, check_vmpl};
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::snp::verify::{ReadEvidence, endorse};
use vouchsafe_attestation::x509::Certificate;
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::evidence::SnpEvidence;
use vouchsafe_protocol::policy::{Permission, Product, Tcb};

use super::cases::{Case, MinTcb, Policy};
use super::{Files, Verdict};
use crate::evidence::pem::to_der;

/// A report with its endorsement, under the default policy and what the case adds to it.
pub(super) fn check_report(case: &Case, files: &Files) -> Verdict {
    let (policy, at) = match (case.policy(), case.at()) {
        (Ok(policy), Ok(at)) => (policy, at),
        (Err(error), _) | (_, Err(error)) => return Verdict::not_supported(format!("{error:#}")),
    };
    Verdict::of(verify_report(case, files, &policy, at))
}

/// A report alone: whether it parses.
pub(super) fn parse_report(files: &Files) -> Verdict {
    Verdict::of(file(files, "report").and_then(|report| Ok(Report::parse(report).map(drop)?)))
}

/// A VEK certificate without a report.
pub(super) fn check_vek_chain(case: &Case, files: &Files) -> Verdict {
    let at = match case.at() {
        Ok(at) => at,
        Err(error) => return Verdict::not_supported(format!("{error:#}")),
    };
    Verdict::of(verify_vek_chain(files, at))
}

fn verify_report(case: &Case, files: &Files, policy: &Policy, at: i64) -> anyhow::Result<()> {
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn)?;
    let vek = match (files.get("vcek"), files.get("vlek")) {
        (Some(vek), None) | (None, Some(vek)) => to_der(vek)?,
        (None, None) => bail!("there is no endorsement"),
        (Some(_), Some(_)) => bail!("there are two endorsements"),
    };
    let intermediate = files.get("ask").map(|file| to_der(file)).transpose()?;
    let evidence = SnpEvidence { report: file(files, "report")?.to_vec(), vek, intermediate };
    let mut cache = ChainCache::new();

    let read = ReadEvidence::read(&evidence, &roots, &cache)?;
    let product = read.vek().product;
    check_pinned(&roots, product, files.get("ark"))?;
    if let Some(expected) = &case.product {
        ensure!(named(product).eq_ignore_ascii_case(expected), "evidence is of another product");
    }
    check_policy(read.report(), product, policy)?;
    let verified = read.verify(&roots, Permission::Forbidden, at, &mut cache)?;
    if let Some(crl) = files.get("crl") {
        let issuer = evidence.intermediate.as_deref().or_else(|| roots.ask(product));
        let issuer = Certificate::parse(issuer.context("there is no issuer to look up")?)?;
        check_not_revoked(&to_der(crl)?, &issuer, &roots, verified.product(), at)?;
    }
    Ok(())
}

/// The default policy on the guest, and what the case pins.
fn check_policy(report: &Report, product: Product, policy: &Policy) -> anyhow::Result<()> {
    let debug = if policy.allow_debug { Permission::Allowed } else { Permission::Forbidden };
    check_guest_policy(report, debug)?;
    // Any level up to the highest allowed: the one the report claims, if it is not above that.
    let level = u8::try_from(report.vmpl).map_or(policy.max_vmpl, |vmpl| vmpl.min(policy.max_vmpl));
    check_vmpl(report, level)?;
    let MinTcb { fmc, bootloader, tee, snp, microcode } = policy.min_tcb;
    let floor = Tcb { fmc, boot_loader: bootloader, tee, snp, microcode };
    check_floor(report.reported_tcb.components(product), floor, WhichTcb::Reported)?;
    let pins: [(&str, &Option<String>, &[u8]); 4] = [
        ("measurement", &policy.measurement, &report.measurement.0),
        ("report data", &policy.report_data, &report.report_data),
        ("host data", &policy.host_data, &report.host_data),
        ("id key digest", &policy.id_key_digest, &report.id_key_digest),
    ];
    for (what, pin, value) in pins {
        if let Some(pin) = pin {
            let pin = hex::decode(pin).with_context(|| format!("pinned {what} is not hexadecimal"))?;
            ensure!(pin == value, "{what} is not the pinned one");
        }
    }
    Ok(())
}

fn verify_vek_chain(files: &Files, at: i64) -> anyhow::Result<()> {
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn)?;
    let vek = VekCertificate::parse(&to_der(file(files, "leaf")?)?)?;
    check_pinned(&roots, vek.claims.product, files.get("root"))?;
    let intermediate = files.get("intermediate1").map(|file| to_der(file)).transpose()?;
    endorse(&vek, intermediate.as_deref(), &roots, at)?;
    Ok(())
}

/// A root that is offered must be the one compiled in for the product; it is never believed for itself.
fn check_pinned(roots: &AmdRoots, product: Product, offered: Option<&Vec<u8>>) -> anyhow::Result<()> {
    if let Some(offered) = offered {
        ensure!(
            roots.ark(product) == Some(to_der(offered)?.as_slice()),
            "offered root is not the one of {}",
            named(product)
        );
    }
    Ok(())
}

fn named(product: Product) -> &'static str {
    match product {
        Product::Milan => "Milan",
        Product::Genoa => "Genoa",
        Product::Turin => "Turin",
    }
}

/// A file that the kind needs.
pub(super) fn file<'a>(files: &'a Files, part: &str) -> anyhow::Result<&'a [u8]> {
    files.get(part).map(Vec::as_slice).with_context(|| format!("the case has no file '{part}'"))
}
