//! Evidence and certificates, as agents send them.

use std::sync::LazyLock;

use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_attestation::azure::{HclReport, RuntimeClaims};
use vouchsafe_attestation::cache::ChainCache;
use vouchsafe_attestation::snp::crl::check_not_revoked;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::snp::verify::ReadEvidence;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::public::Public;
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::{Certificate, parse_spki};
use vouchsafe_attestation::{parse_ak, verify_ak_certificate, verify_ek};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::{AkProof, SnpEvidence, TpmKeys};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::policy::{Permission, Product};

use crate::{Target, ignore};

pub(crate) const TARGETS: &[Target] = &[
    ("snp-report", |data| ignore(Report::parse(data))),
    ("snp-evidence", snp_evidence),
    ("vek-certificate", |data| ignore(VekCertificate::parse(data))),
    ("crl", crl),
    ("certificate", certificate),
    ("tpm-quote", |data| ignore(Quote::parse(data))),
    ("tpm-public", tpm_public),
    ("tpm-signature", |data| ignore(QuoteSignature::parse(data))),
    ("ek-chain", ek_chain),
    ("ak-chain", ak_chain),
    ("hcl-report", hcl_report),
    ("runtime-claims", |data| ignore(RuntimeClaims::dangerous_read_unbound(data))),
    ("anchors", anchors),
];

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;

static ANCHORS: LazyLock<TrustAnchors> =
    LazyLock::new(|| TrustAnchors::new(&Anchors { amd: AmdAnchors::BuiltIn, tpm: Vec::new() }).unwrap());

fn snp_evidence(data: &[u8]) {
    let Ok(evidence) = codec::decode::<SnpEvidence>(data, INTRODUCTION_FRAME_LEN) else { return };
    let mut cache = ChainCache::default();
    if let Ok(read) = ReadEvidence::read(&evidence, ANCHORS.amd(), &cache) {
        let now = i64::try_from(NOW).unwrap();
        ignore(read.verify(ANCHORS.amd(), Permission::Allowed, now, &mut cache));
    }
}

fn crl(data: &[u8]) {
    let roots = ANCHORS.amd();
    let ask = Certificate::parse(roots.ask(Product::Genoa).unwrap()).unwrap();
    ignore(check_not_revoked(data, &ask, roots, Product::Genoa, i64::try_from(NOW).unwrap()));
}

fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::parse(data) {
        assert_eq!(certificate.der(), data, "the verified object is the one that was sent");
    }
    ignore(parse_spki(data));
}

fn tpm_public(data: &[u8]) {
    ignore(Public::parse(data));
    ignore(parse_ak(data));
}

fn ek_chain(data: &[u8]) {
    if let Ok(keys) = codec::decode::<TpmKeys>(data, INTRODUCTION_FRAME_LEN) {
        assert!(verify_ek(&keys, &ANCHORS, NOW).is_err(), "there is no anchor");
    }
}

fn ak_chain(data: &[u8]) {
    if let Ok(keys) = codec::decode::<TpmKeys>(data, INTRODUCTION_FRAME_LEN)
        && let AkProof::Certificate { ak_chain } = &keys.proof
    {
        assert!(verify_ak_certificate(&keys.ak_public, ak_chain, &ANCHORS, NOW).is_err(), "there is no anchor");
    }
}

fn hcl_report(data: &[u8]) {
    if let Ok(hcl) = HclReport::parse(data) {
        assert_eq!(hcl.snp_report(), &data[32..32 + 1184]);
        assert!(!hcl.claims().is_empty() && hcl.claims().len() < data.len());
        ignore(hcl.check_report_data(&[0; 64]));
        ignore(RuntimeClaims::dangerous_read_unbound(hcl.claims()));
    }
}

fn anchors(data: &[u8]) {
    if let Ok(anchors) = codec::decode::<Anchors>(data, INTRODUCTION_FRAME_LEN) {
        ignore(TrustAnchors::new(&anchors));
    }
}
