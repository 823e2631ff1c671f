//! Where AMD's key server has what the host did not give (AMD 57230, "VCEK Certificate and KDS Interface
//! Specification"). Nothing is fetched here: the addresses are printed for somebody who may.

use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_platform::collect::{Missing, Part};
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::policy::{Product, Tcb};

use super::super::words;

const SERVER: &str = "https://kdsintf.amd.com";
/// Bytes of a Turin's hardware id; the rest of its chip id is zero.
const TURIN_HWID_LEN: usize = 8;

/// Addresses for what may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) vek: Option<String>,
    pub(super) list: Option<String>,
}

impl Hints {
    /// For the report in this evidence, if there is one that names its product.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let report = match evidence {
            Evidence::Snp(evidence) => Report::parse(&evidence.report).ok(),
            Evidence::SnpVtpm(evidence) => HclReport::parse(&evidence.hcl_report)
                .ok()
                .and_then(|hcl| Report::parse(hcl.snp_report()).ok()),
            Evidence::Tpm(_) => None,
        };
        report.map_or_else(Self::default, |report| Self::of_report(&report))
    }

    pub(super) fn of_report(report: &Report) -> Self {
        let Some(product) = report.cpuid.and_then(|cpuid| cpuid.product()) else { return Self::default() };
        let kind = match report.signing_key {
            SigningKey::Vcek => "vcek",
            SigningKey::Vlek => "vlek",
        };
        let vek = (report.signing_key == SigningKey::Vcek).then(|| vcek(report, product));
        Self { vek, list: Some(format!("{SERVER}/{kind}/v1/{}/crl", words::product(product))) }
    }

    /// What to do about a missing part.
    pub(super) fn hint(&self, missing: &Missing) -> String {
        let address = match missing.part {
            Part::Vek => &self.vek,
            Part::RevocationList => &self.list,
            _ => &None,
        };
        match address {
            Some(address) => format!("{}; it is at {address}", missing.hint()),
            None => missing.hint().to_owned(),
        }
    }
}

fn vcek(report: &Report, product: Product) -> String {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = report.reported_tcb.components(product);
    let id = &report.chip_id.0;
    let (id, fmc) = match product {
        Product::Turin => (id.get(..TURIN_HWID_LEN).unwrap_or_default(), format!("fmcSPL={fmc:02}&")),
        Product::Milan | Product::Genoa => (id.as_slice(), String::new()),
    };
    format!(
        "{SERVER}/vcek/v1/{}/{}?{fmc}blSPL={boot_loader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}",
        words::product(product),
        hex::encode(id)
    )
}
