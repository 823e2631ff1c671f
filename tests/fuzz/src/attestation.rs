//! Evidence and certificates, as agents send them.

use std::sync::LazyLock;

use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_attestation::azure::{HclReport, RuntimeClaims};
use vouchsafe_attestation::cache::ChainCache;
use vouchsafe_attestation::log::ima::{ImaLog, check_files};
use vouchsafe_attestation::log::{EventLog, confirm, signature_lists};
use vouchsafe_attestation::snp::crl::RevocationList;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::snp::verify::ReadEvidence;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::public::Public;
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::{Certificate, parse_spki};
use vouchsafe_attestation::{Collateral, parse_ak, verify_ak_certificate, verify_ek};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::collateral::CollateralItem;
use vouchsafe_protocol::evidence::{AkProof, SnpEvidence, TpmKeys};
use vouchsafe_protocol::limits::INTRODUCTION_FRAME_LEN;
use vouchsafe_protocol::policy::{Permission, Product, RevocationRule};

use crate::{Target, ignore};

pub(crate) const TARGETS: &[Target] = &[
    ("snp-report", |data| ignore(Report::parse(data))),
    ("snp-evidence", snp_evidence),
    ("vek-certificate", |data| ignore(VekCertificate::parse(data))),
    ("crl", crl),
    ("collateral", collateral),
    ("certificate", certificate),
    ("tpm-quote", |data| ignore(Quote::parse(data))),
    ("tpm-public", tpm_public),
    ("tpm-signature", |data| ignore(QuoteSignature::parse(data))),
    ("ek-chain", ek_chain),
    ("ak-chain", ak_chain),
    ("hcl-report", hcl_report),
    ("runtime-claims", |data| ignore(RuntimeClaims::dangerous_read_unbound(data))),
    ("anchors", anchors),
    ("event-log", event_log),
    ("ima-log", ima_log),
    ("efi-signature-list", |data| signature_lists(data).for_each(ignore)),
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
        if let Ok(verified) = read.verify(ANCHORS.amd(), Permission::Allowed, now, &mut cache) {
            let rule = RevocationRule::Checked { max_age_secs: u32::MAX };
            ignore(verified.check_revocation(rule, ANCHORS.amd(), now, &mut cache));
        }
    }
}

/// An import; what gets in can be listed and comes back from a snapshot.
fn collateral(data: &[u8]) {
    let Ok(item) = codec::decode::<CollateralItem>(data, INTRODUCTION_FRAME_LEN) else { return };
    let mut collateral = Collateral::new();
    if collateral.add(&item, &ANCHORS, NOW).is_ok() {
        assert_eq!(collateral.list().count(), 1);
        assert!(collateral.items().all(|(kept, _)| kept == item), "what was verified is what is kept");
    }
    assert_eq!(collateral.len(), collateral.list().count(), "nothing was kept of what was refused");
}

/// Everything that reads a log: the values it leads to confirm it, so that the rules see its events.
fn event_log(data: &[u8]) {
    let Ok(log) = EventLog::parse(data) else { return };
    for bank in [HashAlgorithm::DangerousSha1, HashAlgorithm::Sha256] {
        log.events().iter().for_each(|event| ignore(event.meaning(bank)));
        let Ok(replay) = log.replay(bank) else { continue };
        let values = || (0..24).filter_map(|pcr| Some((pcr, replay.value(pcr)?)));
        let replayed = confirm(&log, bank, values()).unwrap();
        assert!((0..24).all(|pcr| replayed.is_confirmed(pcr)), "a log leads to where it leads");
        ignore(confirm(&log, bank, values().map(|(pcr, _)| (pcr, [1; 32]))));
        if let Ok(boot) = replayed.measured_boot() {
            let secure_boot = boot.secure_boot().unwrap();
            let lists = [secure_boot.allowed, secure_boot.forbidden];
            lists.into_iter().flatten().flat_map(signature_lists).for_each(ignore);
        }
    }
}

fn ima_log(data: &[u8]) {
    let Ok(log) = ImaLog::parse(data) else { return };
    assert_eq!(
        log.entries().filter_map(Result::ok).count(),
        log.entry_count() as usize,
        "all entries were read"
    );
    if let Ok(confirmed) = log.confirm(HashAlgorithm::Sha256, &[0; 32]) {
        ignore(check_files(&confirmed, &[[0; 32]], |_| Some([0; 32])));
    }
    ignore(log.cut_to(HashAlgorithm::Sha256, &[1; 32]));
}

fn crl(data: &[u8]) {
    if let Ok(list) = RevocationList::verify(data, ANCHORS.amd(), Product::Genoa) {
        ignore(list.check(&[2], &[0], u32::MAX, i64::try_from(NOW).unwrap()));
    }
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
        assert!(
            verify_ak_certificate(&keys.ak_public, ak_chain, &ANCHORS, NOW).is_err(),
            "there is no anchor"
        );
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
