//! What a person should know of evidence: which machine it is, what of it is old, what is missing. Said of bytes that
//! nobody has verified.

use anyhow::Context;
use time::OffsetDateTime;
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::log::EventLog;
use vouchsafe_attestation::snp::crl::RevocationList;
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_attestation::snp::roots::AmdRoots;
use vouchsafe_attestation::snp::tcb::{RawTcb, first_below};
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::x509::{Certificate, Validity};
use vouchsafe_client::policy::{KnownFloor, floors};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_evidence::Case;
use vouchsafe_evidence::schema::Files;
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::policy::{Product, Tcb};

use super::super::words;
use super::Piece;

/// The floors that are shipped.
const FLOORS: &str = include_str!("../../../../data/tcb-floors.toml");
/// In the names of simulated authorities and TPMs.
const SIMULATED: &[u8] = b"simulated";
/// A certificate that ends within this many seconds (30 days) is near its end.
const NEAR_SECS: i64 = 30 * 24 * 3600;
/// Newest report version that is known.
const NEWEST_VERSION: u32 = 5;

/// Lines for a person.
pub(super) struct Findings {
    pub(super) machine: Vec<String>,
    pub(super) old: Vec<String>,
    pub(super) missing: Vec<String>,
    /// A certificate says of itself that it is of simulated hardware.
    pub(super) simulated: bool,
    now: i64,
    floors: Vec<KnownFloor>,
}

impl Findings {
    pub(super) fn new(now: i64) -> anyhow::Result<Self> {
        let floors = floors(&[("data/tcb-floors.toml", FLOORS)])
            .context("the floors of this version cannot be read")?;
        Ok(Self { machine: Vec::new(), old: Vec::new(), missing: Vec::new(), simulated: false, now, floors })
    }

    /// What one file says.
    pub(super) fn of(&mut self, piece: &Piece, file: &[u8]) {
        match piece {
            Piece::Certificate(certificate) => {
                self.simulated |= certificate.der().windows(SIMULATED.len()).any(|part| part == SIMULATED);
                self.certificate(certificate);
            }
            Piece::Crl => self.crl(file),
            Piece::EventLog => self.event_log(file),
            Piece::Hcl => {
                let inner = HclReport::parse(file).ok().and_then(|hcl| Report::parse(hcl.snp_report()).ok());
                self.machine.push("virtual TPM of a paravisor inside an SNP guest".to_owned());
                if let Some(report) = inner {
                    self.report(&report);
                }
            }
            Piece::Quote(quote) => self.quote(quote),
            Piece::Report(report) => self.report(report),
            Piece::ImaLog | Piece::Public(_) | Piece::Signature(_) => {}
        }
    }

    /// What a bundle lacks.
    pub(super) fn of_bundle(&mut self, case: &Case, files: &Files) {
        let has = |part: &str| files.contains_key(part);
        let mut lacks = |part: &[&str], what: &str| {
            if !part.iter().any(|part| has(part)) {
                self.missing.push(what.to_owned());
            }
        };
        match case.kind.as_str() {
            "snp-report" | "azure-snp" => {
                lacks(
                    &["vcek", "vlek"],
                    "certificate of the chip (VCEK) or provider (VLEK): nothing vouches for the report",
                );
                lacks(&["ask"], "issuer of that certificate: for a VCEK the compiled-in one is taken");
                lacks(&["crl"], "revocation list: whether the issuer is revoked cannot be told");
            }
            "tpm-quote" => {
                lacks(&["akcert", "ekcert"], "certificate of the TPM: nothing shows that the key is a TPM's");
            }
            _ => {}
        }
        if matches!(case.kind.as_str(), "tpm-quote" | "azure-snp") {
            lacks(&["event_log"], "boot event log: PCRs can be compared, and not explained");
        }
    }

    fn report(&mut self, report: &Report) {
        let product = report.cpuid.and_then(|cpuid| cpuid.product());
        let what = match (product, report.cpuid) {
            (Some(product), Some(cpuid)) => format!(
                "guest on AMD EPYC {}, family {:02x}h model {:02x}h stepping {}",
                marketing_name(product),
                cpuid.family,
                cpuid.model,
                cpuid.stepping
            ),
            (None, Some(_)) => "guest on a processor that this version does not know".to_owned(),
            (_, None) => "guest on an AMD EPYC processor (version 2 does not say which)".to_owned(),
        };
        self.machine.push(what);
        let masked = report.chip_id.0 == [0; 64];
        let real = if product == Some(Product::Turin) { 8 } else { 64 };
        match report.signing_key {
            SigningKey::Vlek => {
                self.machine.push("signed by a provider's key (VLEK), which names no chip".to_owned())
            }
            SigningKey::Vcek if masked => self.missing.push("chip id: it is masked".to_owned()),
            SigningKey::Vcek => {
                let id = report.chip_id.0.get(..real).unwrap_or(&report.chip_id.0);
                self.machine.push(format!("chip {}", hex::encode(id)));
            }
        }
        self.machine.push(format!("launch digest {}", hex::encode(report.measurement.0)));
        let [major, minor, build] = report.current_version;
        self.machine.push(format!("firmware {major}.{minor}.{build}"));
        self.guest(report);
        self.versions(report, product);
    }

    /// What the guest's owner should know.
    fn guest(&mut self, report: &Report) {
        if report.vmpl == u32::MAX {
            self.machine.push("asked for by the host, not by the guest".to_owned());
        } else if report.vmpl != 0 {
            self.machine.push(format!("asked for at privilege level {}", report.vmpl));
        }
        for (bit, what) in
            [(19, "the host may debug this guest"), (18, "a migration agent may move this guest")]
        {
            if report.policy >> bit & 1 == 1 {
                self.machine.push(what.to_owned());
            }
        }
        if report.platform_info >> 5 & 1 == 0 {
            self.missing
                .push("memory alias check (BadRAM): the platform does not say that it was done".to_owned());
        }
        if report.id_key_digest == [0; 48] {
            self.missing.push("ID block: nobody signed for this guest's launch".to_owned());
        }
        if report.mitigations.is_none() {
            self.missing.push("mitigation vectors: reports have them from version 5".to_owned());
        }
    }

    /// What is old.
    fn versions(&mut self, report: &Report, product: Option<Product>) {
        if report.version < NEWEST_VERSION {
            self.old.push(format!("report version {}; the newest known is {NEWEST_VERSION}", report.version));
        }
        let Some(product) = product else { return };
        // Floors of other lines of silicon have names that say so; their microcode numbers count separately.
        let of_line = |name: &str| name.ends_with("-x") || name.ends_with("-zen4c");
        let special = product != Product::Turin
            && report.cpuid.is_some_and(|cpuid| cpuid.stepping >= 2 || cpuid.model >= 0xa0);
        let tcbs = [
            ("reported", report.reported_tcb),
            ("committed", report.committed_tcb),
            ("current", report.current_tcb),
            ("launch", report.launch_tcb),
        ];
        let mut below = Vec::new();
        for KnownFloor { name, date, bulletins, tcbs: floors, .. } in &self.floors {
            let floor = floors.iter().find(|(of, _)| *of == product).map(|(_, tcb)| *tcb);
            let Some(floor) = floor.filter(|_| !of_line(name) && !special) else { continue };
            let which: Vec<&str> = tcbs
                .iter()
                .filter(|(_, tcb)| first_below(tcb.components(product), floor).is_some())
                .map(|(which, _)| *which)
                .collect();
            if !which.is_empty() {
                let bulletins = bulletins.join(", ");
                below.push((*date, format!("{} TCB below {name} ({bulletins}, {date})", which.join(", "))));
            }
        }
        // The oldest mended flaw that is still there says most; all of them are said.
        below.sort_by_key(|(date, _)| date.to_string());
        self.old.extend(below.into_iter().map(|(_, line)| line));
        if special {
            self.old.push(
                "not compared with the shipped floors: this part's microcode counts separately".to_owned(),
            );
        }
        if report.current_tcb != report.committed_tcb {
            self.old.push("firmware is provisional: it can still be rolled back".to_owned());
        }
        let parts = |raw: RawTcb| -> Tcb { raw.components(product) };
        if first_below(parts(report.launch_tcb), parts(report.current_tcb)).is_some() {
            self.old.push("launched before the last firmware update, and running since".to_owned());
        }
    }

    fn certificate(&mut self, certificate: &Certificate) {
        let name = certificate.common_name().unwrap_or("without a common name").to_owned();
        if let Ok(vek) = VekCertificate::parse(certificate.der()) {
            self.machine.push(format!("certificate {name} for {}", marketing_name(vek.claims.product)));
        }
        self.dates(&format!("certificate {name}"), certificate.validity());
    }

    fn crl(&mut self, file: &[u8]) {
        let list = vouchsafe_evidence::pem::to_der(file)
            .ok()
            .zip(AmdRoots::new(&AmdAnchors::BuiltIn).ok())
            .and_then(|(der, roots)| RevocationList::verify_any(&der, &roots).ok());
        match list {
            Some((product, list)) => {
                self.machine.push(format!("revocation list of AMD for {}", marketing_name(product)));
                self.dates("revocation list", list.validity());
            }
            None => self.machine.push("revocation list of no compiled-in root".to_owned()),
        }
    }

    fn dates(&mut self, what: &str, validity: Validity) {
        let Validity { not_before, not_after } = validity;
        if self.now < not_before {
            self.old.push(format!("{what} is not valid before {}", day(not_before)));
        } else if self.now > not_after {
            self.old.push(format!("{what} ended on {}", day(not_after)));
        } else if not_after - self.now < NEAR_SECS {
            self.old.push(format!("{what} ends on {}", day(not_after)));
        }
    }

    fn quote(&mut self, quote: &Quote) {
        let banks: Vec<String> = quote
            .selection
            .iter()
            .filter(|bank| !bank.indices.is_empty())
            .map(|bank| {
                let indices: Vec<String> = bank.indices.iter().map(u8::to_string).collect();
                format!("{} PCRs {}", words::hash(bank.bank), indices.join(", "))
            })
            .collect();
        self.machine
            .push(format!("TPM in boot {} (restart {})", quote.clock.reset_count, quote.clock.restart_count));
        if banks.is_empty() {
            self.missing.push("PCRs: the quote selects none".to_owned());
        } else {
            self.machine.push(format!("quotes {}", banks.join("; ")));
        }
        let weak = |bank: HashAlgorithm| bank == HashAlgorithm::DangerousSha1;
        if quote.selection.iter().any(|bank| weak(bank.bank) && !bank.indices.is_empty()) {
            self.old.push("SHA-1 bank is quoted".to_owned());
        }
        if !quote.clock.safe {
            self.old.push("clock of the TPM may repeat values of an earlier boot".to_owned());
        }
    }

    fn event_log(&mut self, file: &[u8]) {
        let Ok(log) = EventLog::parse(file) else { return };
        self.machine.push(format!("boot event log with {} events", log.record_count()));
        if !log.is_crypto_agile() || !log.has_bank(HashAlgorithm::Sha256) {
            self.old.push("boot event log has no SHA-256 digests".to_owned());
        }
    }
}

fn marketing_name(product: Product) -> &'static str {
    match product {
        Product::Milan => "7003 (Milan)",
        Product::Genoa => "9004 (Genoa)",
        Product::Turin => "9005 (Turin)",
    }
}

fn day(secs: i64) -> String {
    OffsetDateTime::from_unix_timestamp(secs)
        .map_or_else(|_| secs.to_string(), |time| time.date().to_string())
}
