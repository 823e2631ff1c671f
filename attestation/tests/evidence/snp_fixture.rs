//! A simulated chip, right evidence of it, and the rules that accept it.

use std::sync::LazyLock;

use vouchsafe_attestation::snp::rules::SnpRuleError;
use vouchsafe_attestation::{
    Appraisal, AppraisalError, ChainCache, Collateral, Context, Residency, StatementPreimage, TrustAnchors,
    appraise, statement,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, SimulatedRoot};
use vouchsafe_protocol::evidence::{Evidence, SnpEvidence};
use vouchsafe_protocol::id::{AnchorClass, VaultId};
pub use vouchsafe_protocol::policy::SnpAccept;
use vouchsafe_protocol::policy::{
    Accept, BitRule, ChipRule, LaunchDigest, Permission, PlatformInfoRules, Product, RevocationRule, Tcb,
    TcbFloor,
};
use vouchsafe_simulation::{ReportBuilder, SimulatedChip, SimulatedPki, VekSpec};

/// 2026-01-01.
pub const NOW: u64 = 1_767_225_600;
pub const CHIP_ID: [u8; 64] = [0xc1; 64];
pub const TCB: Tcb = Tcb { fmc: 0, boot_loader: 9, tee: 2, snp: 23, microcode: 200 };
pub const HIGHER: Tcb = Tcb { fmc: 0, boot_loader: 10, tee: 3, snp: 24, microcode: 201 };

pub struct Fixture {
    pub pki: SimulatedPki,
    pub chip: SimulatedChip,
    pub anchors: TrustAnchors,
    pub collateral: Collateral,
}

/// Making RSA keys takes long: two PKIs for all tests, one of which nobody trusts.
static PKIS: LazyLock<[SimulatedPki; 2]> =
    LazyLock::new(|| [(); 2].map(|()| SimulatedPki::generate(Product::Genoa).unwrap()));

impl Fixture {
    pub fn genoa() -> Self {
        Self::new(Product::Genoa)
    }

    pub fn new(product: Product) -> Self {
        Self::of(&PKIS[0], product)
    }

    /// With the same names and other keys.
    pub fn foreign(product: Product) -> Self {
        Self::of(&PKIS[1], product)
    }

    fn of(pki: &SimulatedPki, product: Product) -> Self {
        let pki = pki.for_product(product).unwrap();
        let chip = pki.chip(&VekSpec::vcek(product, TCB, CHIP_ID)).unwrap();
        let anchors = anchors(&[pki.root()]);
        Self { pki, chip, anchors, collateral: Collateral::new() }
    }

    pub fn report(&self) -> ReportBuilder {
        report(&self.chip)
    }

    pub fn evidence(&self, report: ReportBuilder) -> SnpEvidence {
        self.chip.evidence(report.sign(&self.chip).unwrap())
    }

    pub fn appraise(&self, report: ReportBuilder) -> Result<Appraisal, AppraisalError> {
        self.appraise_with(report, &[accept()])
    }

    pub fn appraise_with(
        &self,
        report: ReportBuilder,
        rules: &[Accept],
    ) -> Result<Appraisal, AppraisalError> {
        self.appraise_evidence(self.evidence(report), rules)
    }

    pub fn appraise_evidence(
        &self,
        evidence: SnpEvidence,
        rules: &[Accept],
    ) -> Result<Appraisal, AppraisalError> {
        let mut cache = ChainCache::new();
        let evidence = Evidence::Snp(evidence);
        let residency = Residency::NotATpm;
        let first = appraise(&evidence, &statement(), rules, residency, self.context(NOW), &mut cache);
        // The cache must never change a verdict.
        let second = appraise(&evidence, &statement(), rules, residency, self.context(NOW), &mut cache);
        assert_eq!(first, second);
        first
    }

    pub fn context(&self, now_unix_secs: u64) -> Context<'_> {
        Context { anchors: &self.anchors, collateral: &self.collateral, now_unix_secs }
    }

    pub fn refusal(&self, evidence: SnpEvidence) -> AppraisalError {
        self.appraise_evidence(evidence, &[accept()]).unwrap_err()
    }

    pub fn rule_refusal(&self, report: ReportBuilder, rule: Accept) -> SnpRuleError {
        match self.appraise_with(report, &[rule]) {
            Err(AppraisalError::SnpRule(error)) => error,
            other => panic!("expected a rule to refuse, got {other:?}"),
        }
    }

    /// The refusal of evidence by a chip with this certificate, right otherwise.
    pub fn refusal_of_chip(&self, spec: &VekSpec) -> AppraisalError {
        let chip = self.pki.chip(spec).unwrap();
        self.refusal(chip.evidence(report(&chip).sign(&chip).unwrap()))
    }
}

/// A right report of a chip.
pub fn report(chip: &SimulatedChip) -> ReportBuilder {
    chip.report().measurement(measurement()).report_data(&statement().snp_report_data())
}

pub fn statement() -> StatementPreimage {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    statement::introduction(b"challenge", &[1; 32], b"key", &"role".parse().unwrap(), &vault)
}

pub fn measurement() -> LaunchDigest {
    LaunchDigest([0x4d; 48])
}

pub fn accept() -> Accept {
    Accept::Snp(snp_accept())
}

/// The right rules with a change.
pub fn with(change: impl FnOnce(&mut SnpAccept)) -> Accept {
    let mut accept = snp_accept();
    change(&mut accept);
    Accept::Snp(accept)
}

pub fn snp_accept() -> SnpAccept {
    let products = vec![Product::Milan, Product::Genoa, Product::Turin];
    let floors = products.iter().map(|product| TcbFloor::all(*product, TCB)).collect();
    let measurements = vec![LaunchDigest([0; 48]).into(), measurement().into()];
    SnpAccept::strict(products, measurements, floors, ChipRule::AnyChip, RevocationRule::Unchecked)
}

pub fn any_platform_info() -> PlatformInfoRules {
    PlatformInfoRules {
        smt: BitRule::Any,
        tsme: BitRule::Any,
        ecc: BitRule::Any,
        rapl_disabled: BitRule::Any,
        ciphertext_hiding: BitRule::Any,
        alias_check_complete: BitRule::Any,
        iommu_write_safe: BitRule::Any,
        tio: BitRule::Any,
        unknown_bits: Permission::Allowed,
    }
}

pub fn anchors(roots: &[SimulatedRoot]) -> TrustAnchors {
    TrustAnchors::new(&Anchors { amd: AmdAnchors::Simulated(roots.to_vec()), tpm: Vec::new() }).unwrap()
}

/// [`TCB`] as a report of the product holds it, written out by hand.
pub fn raw_tcb(product: Product) -> [u8; 8] {
    match product {
        Product::Milan | Product::Genoa => [9, 2, 0, 0, 0, 0, 23, 200],
        Product::Turin => [0, 9, 2, 23, 0, 0, 0, 200],
    }
}
