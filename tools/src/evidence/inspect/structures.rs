//! The fields of each structure.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::log::EventLog;
use vouchsafe_attestation::log::ima::ImaLog;
use vouchsafe_attestation::snp::crl::RevocationList;
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_attestation::snp::roots::AmdRoots;
use vouchsafe_attestation::snp::tcb::RawTcb;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::public::{Attributes, Public, name};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::Certificate;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_evidence::pem::to_der;
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::policy::{Product, Tcb};

use super::super::words;
use super::{Field, bytes, group, text};

/// Most bytes of an event's data that are shown.
const EVENT_DATA: usize = 64;

pub(super) fn report(report: &Report) -> Vec<Field> {
    let product = report.cpuid.and_then(|cpuid| cpuid.product());
    let tcb = |name: &str, raw: RawTcb| tcb(name, raw, product);
    let bit = |value: u64, bit: u32| if value >> bit & 1 == 1 { "1" } else { "0" };
    let policy = report.policy;
    let info = report.platform_info;
    let version = |[major, minor, build]: [u8; 3]| format!("{major}.{minor}.{build}");
    let mut fields = vec![
        text("version", report.version),
        text("guest svn", report.guest_svn),
        group(
            "policy",
            vec![
                text("raw", format!("{policy:#x}")),
                text("abi", format!("{}.{}", policy >> 8 & 0xff, policy & 0xff)),
                text("smt allowed", bit(policy, 16)),
                text("reserved, must be one", bit(policy, 17)),
                text("migration agent", bit(policy, 18)),
                text("debug", bit(policy, 19)),
                text("single socket", bit(policy, 20)),
            ],
        ),
        bytes("family id", &report.family_id),
        bytes("image id", &report.image_id),
        text("vmpl", if report.vmpl == u32::MAX { "host".to_owned() } else { report.vmpl.to_string() }),
        tcb("current tcb", report.current_tcb),
        group(
            "platform info",
            vec![
                text("raw", format!("{info:#x}")),
                text("smt", bit(info, 0)),
                text("tsme", bit(info, 1)),
                text("ecc", bit(info, 2)),
                text("rapl disabled", bit(info, 3)),
                text("ciphertext hiding", bit(info, 4)),
                text("alias check complete", bit(info, 5)),
                text("iommu write safe", bit(info, 6)),
                text("tio", bit(info, 7)),
            ],
        ),
        text("author key enabled", report.author_key_enabled),
        text("chip key masked", report.mask_chip_key),
        text(
            "signing key",
            match report.signing_key {
                SigningKey::Vcek => "VCEK",
                SigningKey::Vlek => "VLEK",
            },
        ),
        bytes("report data", &report.report_data),
        bytes("measurement", &report.measurement.0),
        bytes("host data", &report.host_data),
        bytes("id key digest", &report.id_key_digest),
        bytes("author key digest", &report.author_key_digest),
        bytes("report id", &report.report_id),
        bytes("report id of migration agent", &report.report_id_ma),
        tcb("reported tcb", report.reported_tcb),
    ];
    if let Some(cpuid) = report.cpuid {
        let known = product.map_or("unknown product", words::product);
        let numbers = format!(
            "family {:#04x} model {:#04x} stepping {:#04x}",
            cpuid.family, cpuid.model, cpuid.stepping
        );
        fields.push(text("cpuid", format!("{numbers} ({known})")));
    }
    fields.extend([
        bytes("chip id", &report.chip_id.0),
        tcb("committed tcb", report.committed_tcb),
        text("current version", version(report.current_version)),
        text("committed version", version(report.committed_version)),
        tcb("launch tcb", report.launch_tcb),
    ]);
    if let Some(mitigations) = report.mitigations {
        fields.push(text("launch mitigations", format!("{:#x}", mitigations.launch)));
        fields.push(text("current mitigations", format!("{:#x}", mitigations.current)));
    }
    fields.extend([
        text("reserved fields are zero", report.reserved_is_zero),
        bytes("signature r", &report.r),
        bytes("signature s", &report.s),
    ]);
    fields
}

/// Components, where the product (and so the layout) is known; version 2 does not name it.
fn tcb(name: &str, raw: RawTcb, product: Option<Product>) -> Field {
    let Some(product) = product else {
        return bytes(name, &raw.0);
    };
    let Tcb { fmc, boot_loader, tee, snp, microcode } = raw.components(product);
    let fmc = if product == Product::Turin { format!("fmc {fmc}, ") } else { String::new() };
    let raw = hex::encode(raw.0);
    text(name, format!("{fmc}boot_loader {boot_loader}, tee {tee}, snp {snp}, microcode {microcode} ({raw})"))
}

pub(super) fn quote(quote: &Quote) -> Vec<Field> {
    let selection = quote
        .selection
        .iter()
        .map(|bank| {
            let indices: Vec<String> = bank.indices.iter().map(u8::to_string).collect();
            text(words::hash(bank.bank), indices.join(", "))
        })
        .collect();
    vec![
        bytes("qualified signer", &quote.qualified_signer),
        bytes("extra data", &quote.extra_data),
        text("clock (ms)", quote.clock.clock_millis),
        text("reset count", quote.clock.reset_count),
        text("restart count", quote.clock.restart_count),
        text("safe", quote.clock.safe),
        text("firmware version", format!("{:016x}", quote.firmware_version)),
        group("pcr selection", selection),
        bytes("pcr digest", &quote.pcr_digest),
    ]
}

pub(super) fn signature(signature: &QuoteSignature) -> Vec<Field> {
    vec![text("scheme", words::scheme(signature.scheme)), bytes("signature", &signature.bytes)]
}

pub(super) fn public(public: &Public, area: &[u8]) -> Vec<Field> {
    let attributes = [
        ("fixedTPM", Attributes::FIXED_TPM),
        ("fixedParent", Attributes::FIXED_PARENT),
        ("sensitiveDataOrigin", Attributes::SENSITIVE_DATA_ORIGIN),
        ("restricted", Attributes::RESTRICTED),
        ("decrypt", Attributes::DECRYPT),
        ("sign", Attributes::SIGN),
    ];
    let set: Vec<&str> = attributes
        .into_iter()
        .filter_map(|(name, attribute)| public.attributes.contains(attribute).then_some(name))
        .collect();
    vec![
        text("name algorithm", words::hash_by_id(public.name_algorithm)),
        bytes("name (SHA-256)", &name(area)),
        text("attributes", format!("{:#010x} ({})", public.attributes.0, set.join(", "))),
        bytes("authorisation policy", &public.auth_policy),
        text("symmetric", if public.aes_128_cfb { "AES-128-CFB" } else { "none" }),
        text("scheme", words::key_scheme(public.scheme)),
        key(&public.key),
    ]
}

pub(super) fn certificate(certificate: &Certificate) -> Vec<Field> {
    let extensions = certificate
        .extensions()
        .iter()
        .map(|extension| {
            let critical = if extension.critical { " (critical)" } else { "" };
            bytes(format!("{}{critical}", extension.oid), &extension.value)
        })
        .collect();
    vec![
        text("common name", certificate.common_name().unwrap_or("(none)")),
        bytes("serial", certificate.serial()),
        text("not before", date(certificate.validity().not_before)),
        text("not after", date(certificate.validity().not_after)),
        text("certificate authority", certificate.is_authority()),
        text("signed with", certificate.scheme().map_or_else(|| "not accepted".to_owned(), words::scheme)),
        certificate.key().map_or_else(|| text("key", "of another kind"), key),
        group("extensions", extensions),
    ]
}

fn key(key: &PublicKey) -> Field {
    match key {
        PublicKey::P256(point) => bytes("P-256 key", point),
        PublicKey::P384(point) => bytes("P-384 key", point),
        PublicKey::Rsa { modulus, exponent } => group(
            format!("RSA-{} key", 8 * modulus.len()),
            vec![bytes("modulus", modulus), bytes("exponent", exponent)],
        ),
    }
}

/// A boot event log, event by event.
pub(super) fn event_log(file: &[u8]) -> Vec<Field> {
    let Ok(log) = EventLog::parse(file) else { return Vec::new() };
    let algorithms: Vec<String> = log.algorithms().iter().map(|id| words::hash_by_id(*id)).collect();
    let mut fields = vec![
        text("format", if log.is_crypto_agile() { "crypto-agile" } else { "SHA-1" }),
        text("algorithms", algorithms.join(", ")),
        text("events", log.record_count()),
    ];
    if let Some(locality) = log.startup_locality() {
        fields.push(text("startup locality", locality));
    }
    for event in log.events() {
        let mut inner: Vec<Field> =
            event.digests.iter().map(|(id, digest)| bytes(words::hash_by_id(id), digest)).collect();
        let shown = event.data.get(..EVENT_DATA).unwrap_or(event.data);
        let more = if shown.len() < event.data.len() { "..." } else { "" };
        inner.push(text("data", format!("{}{more} ({} bytes)", hex::encode(shown), event.data.len())));
        let kind = event.kind.name().map_or_else(|| format!("{:#010x}", event.kind.0), str::to_owned);
        fields.push(group(format!("event {} PCR {} {kind}", event.number, event.pcr), inner));
    }
    fields
}

/// An IMA log: its entries, one a line.
pub(super) fn ima_log(file: &[u8]) -> Vec<Field> {
    let Ok(log) = ImaLog::parse(file) else { return Vec::new() };
    let mut fields = vec![text("form", words::ima_form(log.form())), text("entries", log.entry_count())];
    for entry in log.entries().flatten() {
        let said = match &entry.file {
            None => words::no_file(entry.template).to_owned(),
            Some(file) => String::from_utf8_lossy(file.name).into_owned(),
        };
        let violation = if entry.is_violation() { " (violation)" } else { "" };
        fields.push(text(format!("entry {}", entry.number), format!("PCR {} {said}{violation}", entry.pcr)));
    }
    fields
}

/// A paravisor's report: its description, the SNP report in it, its claims as they stand.
pub(super) fn hcl(file: &[u8]) -> Vec<Field> {
    let Ok(hcl) = HclReport::parse(file) else { return Vec::new() };
    let mut fields = vec![text("version", hcl.version()), text("version of the claims", hcl.data_version())];
    if let Ok(snp) = Report::parse(hcl.snp_report()) {
        fields.push(text("claims are the report's", hcl.check_report_data(&snp.report_data).is_ok()));
        fields.push(group("SNP report", report(&snp)));
    }
    fields.push(text("claims", String::from_utf8_lossy(hcl.claims())));
    fields
}

/// A revocation list of a compiled-in root; of another nothing but its length is known.
pub(super) fn crl(file: &[u8]) -> Vec<Field> {
    let list = to_der(file)
        .ok()
        .zip(AmdRoots::new(&AmdAnchors::BuiltIn).ok())
        .and_then(|(der, roots)| RevocationList::verify_any(&der, &roots).ok());
    match list {
        None => vec![text("length", file.len())],
        Some((product, list)) => vec![
            text("of the root of", words::product(product)),
            text("this update", date(list.validity().not_before)),
            text("next update", date(list.validity().not_after)),
            text("revoked serials", list.len()),
        ],
    }
}

fn date(secs: i64) -> String {
    OffsetDateTime::from_unix_timestamp(secs)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| secs.to_string())
}
