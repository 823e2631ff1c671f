//! Every single-bit flip of real evidence is refused: reports, VEK certificates, quotes, signatures of quotes, and
//! HCL reports. Bits that may differ would be listed here, with the reason why nothing depends on them; there are none.
//!
//! The evidence is not part of the repository: the tests look for it in `VOUCHSAFE_EVIDENCE`, or beside the
//! checkout, and say so when it is missing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use vouchsafe_attestation::ChainCache;
use vouchsafe_attestation::azure::{HclReport, VtpmQuote, verify_snp_vtpm};
use vouchsafe_attestation::snp::roots::AmdRoots;
use vouchsafe_attestation::snp::verify::ReadEvidence;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::{Expected, PcrValues, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::parse_spki;
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey};
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::evidence::{SnpEndorsements, SnpEvidence};
use vouchsafe_protocol::policy::Permission;
use x509_parser::pem::Pem;

/// Bytes of which some bit may be flipped, by file, and why no verdict may depend on them: none. What lies outside the
/// signatures (headers of HCL reports, lengths, algorithm identifiers of certificates, headers of quotes'
/// signatures) has one form each, and any other is refused.
const EXCEPTIONS: [(&str, core::ops::Range<usize>, &str); 0] = [];

struct Snp {
    report: &'static str,
    vek: &'static str,
    intermediate: Option<&'static str>,
    /// Seconds since 1970.
    at: i64,
}

const fn vcek(report: &'static str, vek: &'static str, at: i64) -> Snp {
    Snp { report, vek, intermediate: None, at }
}

/// Every genuine report that comes with its certificate.
const REPORTS: [Snp; 8] = [
    vcek("snp/milan-v2-virtee.bin", "snp/milan-v2-virtee-vcek.der", 1_697_829_823),
    vcek("snp/milan-v3-oak-oc-release.bin", "snp/milan-v3-oak-oc-release-vcek.der", 1_754_256_114),
    vcek("snp/milan-v3-oak-oc-staging.bin", "snp/milan-v3-oak-oc-staging-vcek.der", 1_754_256_114),
    vcek("snp/genoa-v3-msft.bin", "snp/genoa-v3-msft-vcek.der", 1_787_537_107),
    vcek("snp/genoa-v5-oak.bin", "snp/genoa-v5-oak-vcek.der", 1_759_771_301),
    vcek("snp/turin-v5-msft.bin", "snp/turin-v5-msft-vcek.der", 1_787_533_473),
    vcek("snp/milan-v2-debug-gosev.bin", "snp/milan-v2-debug-gosev-vcek.der", 1_681_260_928),
    Snp {
        report: "snp/milan-v3-vlek-vmpl1-coco.bin",
        vek: "snp/milan-v3-vlek-vmpl1-coco-vlek.der",
        intermediate: Some("amd/milan-asvk.pem"),
        at: 1_748_736_000,
    },
];

/// HCL reports with certificate and quote, by the name that their files begin with.
const PARAVISORS: [(&str, i64); 3] = [
    ("milan-v2-azure-coco", 1_700_342_539),
    ("milan-v3-azure-coco-v0", 1_755_361_615),
    ("milan-v3-azure-coco-v1", 1_755_361_615),
];

struct TpmQuote {
    name: &'static str,
    ak: &'static str,
    nonce: &'static str,
}

/// Quotes of TPMs by themselves, with SHA-256; the nonces are those of `cases.json`.
const QUOTES: [TpmQuote; 2] = [
    TpmQuote { name: "gce-cos-85-nonce9009-sha256", ak: "gce-cos-85-nonce9009", nonce: "9009" },
    TpmQuote {
        name: "keylime-emulator",
        ak: "keylime-emulator",
        nonce: "db1db298db6d60e6385b7231743e9c3056a18003",
    },
];

fn evidence() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence");
    let dir = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if dir.join("cases.json").is_file() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no evidence at {}; set VOUCHSAFE_EVIDENCE", dir.display());
    None
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn der(dir: &Path, name: &str) -> Vec<u8> {
    let bytes = read(dir, name);
    match Pem::iter_from_buffer(&bytes).next() {
        Some(Ok(pem)) => pem.contents,
        _ => bytes,
    }
}

/// Flips each bit of some bytes of a file, in as many threads as there are processors, and returns the bytes of those
/// flips that `accepts` took. `prepare` makes what a thread needs.
fn accepted_flips<T>(
    file: &[u8],
    bytes: core::ops::Range<usize>,
    prepare: impl Fn() -> T + Sync,
    accepts: impl Fn(&mut T, &[u8]) -> bool + Sync,
) -> Vec<usize> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let run = |share: usize| {
        let (mut own, mut flipped, mut accepted) = (prepare(), file.to_vec(), Vec::new());
        assert!(accepts(&mut own, &flipped), "the evidence itself is refused");
        for at in bytes.clone().skip(share).step_by(threads) {
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                if accepts(&mut own, &flipped) {
                    accepted.push(at);
                }
                flipped[at] ^= 1 << bit;
            }
        }
        accepted
    };
    let mut accepted: Vec<usize> = thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = (0..threads).map(|share| scope.spawn(move || run(share))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    accepted.sort_unstable();
    accepted.dedup();
    accepted
}

/// Nothing may be accepted but what the list explains, and everything on it must be.
fn expect_only_exceptions(name: &str, accepted: &[usize]) {
    let explained: Vec<usize> = EXCEPTIONS
        .iter()
        .filter(|(file, ..)| *file == name)
        .flat_map(|(_, range, _)| range.clone())
        .collect();
    assert_eq!(accepted, explained, "{name}: bytes with a flip that was accepted, and those explained");
}

fn snp_accepts(roots: &AmdRoots, cache: &mut ChainCache, evidence: &SnpEvidence, at: i64) -> bool {
    ReadEvidence::read(evidence, roots, cache)
        .and_then(|read| read.verify(roots, Permission::Forbidden, at, cache))
        .is_ok()
}

fn snp_evidence(dir: &Path, snp: &Snp) -> SnpEvidence {
    let endorsements = SnpEndorsements {
        vek: Some(read(dir, snp.vek)),
        intermediate: snp.intermediate.map(|name| der(dir, name)),
        crl: None,
    };
    SnpEvidence { report: read(dir, snp.report), endorsements }
}

#[test]
fn s3_every_bit_of_every_real_report_counts() {
    let Some(dir) = evidence() else { return };
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn).unwrap();
    for snp in &REPORTS {
        let right = snp_evidence(&dir, snp);
        let prepare = || (ChainCache::new(), right.clone());
        let accepted =
            accepted_flips(&right.report, 0..right.report.len(), prepare, |(cache, own), report| {
                own.report.copy_from_slice(report);
                snp_accepts(&roots, cache, own, snp.at)
            });
        expect_only_exceptions(snp.report, &accepted);
    }
}

#[test]
fn s3_every_bit_of_every_real_vek_certificate_counts() {
    let Some(dir) = evidence() else { return };
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn).unwrap();
    for snp in &REPORTS {
        let right = snp_evidence(&dir, snp);
        let vek = right.endorsements.vek.clone().unwrap();
        let accepted = accepted_flips(
            &vek,
            0..vek.len(),
            || right.clone(),
            |own, vek| {
                own.endorsements.vek = Some(vek.to_vec());
                // A cache that never saw the right chain: every flip is verified for itself.
                snp_accepts(&roots, &mut ChainCache::new(), own, snp.at)
            },
        );
        expect_only_exceptions(snp.vek, &accepted);
    }
}

#[test]
fn t1_every_bit_of_every_real_quote_and_its_signature_counts() {
    let Some(dir) = evidence() else { return };
    let folder = dir.join("tpm");
    for TpmQuote { name, ak, nonce } in QUOTES {
        let key = parse_spki(&der(&folder, &format!("{ak}-ak.pem"))).unwrap();
        let values = pcr_values(&read(&folder, &format!("{name}-pcrs.json")));
        let (quote_name, signature_name) = (format!("{name}-quote.msg"), format!("{name}-quote.sig"));
        let (quote, signature) = (read(&folder, &quote_name), read(&folder, &signature_name));
        let nonce = hex::decode(nonce).unwrap();
        let accepts = |quote: &[u8], signature: &[u8]| {
            QuoteSignature::parse(signature)
                .is_ok_and(|signature| quote_accepts(&key, quote, &signature, &values, &nonce))
        };
        let accepted = accepted_flips(&quote, 0..quote.len(), || (), |(), quote| accepts(quote, &signature));
        expect_only_exceptions(&format!("tpm/{quote_name}"), &accepted);
        let accepted = accepted_flips(&signature, 0..signature.len(), || (), |(), sig| accepts(&quote, sig));
        expect_only_exceptions(&format!("tpm/{signature_name}"), &accepted);
    }
}

fn quote_accepts(
    key: &PublicKey,
    bytes: &[u8],
    signature: &QuoteSignature,
    values: &PcrValues,
    extra_data: &[u8],
) -> bool {
    let expected = Expected { key, scheme: None, extra_data, sha1: Permission::Forbidden };
    Quote::parse(bytes).is_ok_and(|quote| verify_quote(bytes, &quote, signature, values, expected).is_ok())
}

/// An HCL report with all that is verified beside it.
struct Paravisor {
    evidence: SnpEvidence,
    hcl: Vec<u8>,
    quote: Vec<u8>,
    signature: Vec<u8>,
    values: PcrValues,
    extra_data: Vec<u8>,
    at: i64,
}

impl Paravisor {
    fn read(dir: &Path, name: &str, at: i64) -> Self {
        let azure = dir.join("azure");
        let hcl = read(&azure, &format!("{name}-hcl.bin"));
        let vek = Some(read(dir, &format!("snp/{name}-vcek.der")));
        let endorsements = SnpEndorsements { vek, intermediate: None, crl: None };
        let report = HclReport::parse(&hcl).unwrap().snp_report().to_vec();
        let quote = read(&azure, &format!("{name}-quote.msg"));
        let extra_data = Quote::parse(&quote).unwrap().extra_data.to_vec();
        Self {
            evidence: SnpEvidence { report, endorsements },
            hcl,
            quote,
            signature: read(&azure, &format!("{name}-quote.sig")),
            values: pcr_values(&read(&azure, &format!("{name}-pcrs.json"))),
            extra_data,
            at,
        }
    }

    fn accepts(
        &self,
        roots: &AmdRoots,
        cache: &mut ChainCache,
        hcl: &[u8],
        quote_bytes: &[u8],
        signature: &[u8],
    ) -> bool {
        let Ok(hcl) = HclReport::parse(hcl) else { return false };
        let report = hcl.snp_report().to_vec();
        let evidence = SnpEvidence { report, endorsements: self.evidence.endorsements.clone() };
        let Ok(read) = ReadEvidence::read(&evidence, roots, cache) else { return false };
        let Ok(verified) = read.verify(roots, Permission::Forbidden, self.at, cache) else { return false };
        let Ok(quote) = Quote::parse(quote_bytes) else { return false };
        let signature = QuoteSignature::raw_rsassa_sha256(signature);
        let quote = VtpmQuote {
            bytes: quote_bytes,
            quote: &quote,
            signature: &signature,
            values: &self.values,
            extra_data: &self.extra_data,
        };
        verify_snp_vtpm(&hcl, &verified, quote).is_ok()
    }
}

#[test]
fn b5_every_bit_of_every_real_hcl_report_and_its_quote_counts() {
    let Some(dir) = evidence() else { return };
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn).unwrap();
    for (name, at) in PARAVISORS {
        let own = Paravisor::read(&dir, name, at);
        let (hcl, quote, signature) = (&own.hcl, &own.quote, &own.signature);
        let accepted = accepted_flips(hcl, 0..hcl.len(), ChainCache::new, |cache, hcl| {
            own.accepts(&roots, cache, hcl, quote, signature)
        });
        expect_only_exceptions(&format!("azure/{name}-hcl.bin"), &accepted);
        let accepted = accepted_flips(quote, 0..quote.len(), ChainCache::new, |cache, quote| {
            own.accepts(&roots, cache, hcl, quote, signature)
        });
        expect_only_exceptions(&format!("azure/{name}-quote.msg"), &accepted);
        let accepted = accepted_flips(signature, 0..signature.len(), ChainCache::new, |cache, signature| {
            own.accepts(&roots, cache, hcl, quote, signature)
        });
        expect_only_exceptions(&format!("azure/{name}-quote.sig"), &accepted);
    }
}

/// PCR values of the evidence folder: one bank, or several by name.
fn pcr_values(json: &[u8]) -> PcrValues {
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    let banks: BTreeMap<String, serde_json::Value> = match (json.get("bank"), json.get("banks")) {
        (Some(bank), None) => BTreeMap::from([(bank.as_str().unwrap().to_owned(), json["pcrs"].clone())]),
        (None, Some(banks)) => banks.as_object().unwrap().clone().into_iter().collect(),
        _ => panic!("neither one bank nor several"),
    };
    let mut values = PcrValues::new();
    for (bank, pcrs) in banks {
        let bank = match bank.as_str() {
            "sha1" => HashAlgorithm::DangerousSha1,
            "sha256" => HashAlgorithm::Sha256,
            "sha384" => HashAlgorithm::Sha384,
            other => panic!("bank {other}"),
        };
        for (index, value) in pcrs.as_object().unwrap() {
            values.insert((bank, index.parse().unwrap()), hex::decode(value.as_str().unwrap()).unwrap());
        }
    }
    values
}
