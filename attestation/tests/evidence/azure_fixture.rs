//! A simulated machine with a paravisor, right evidence of it, and the rules that accept it.

use std::sync::LazyLock;

use vouchsafe_attestation::{Appraisal, AppraisalError, ChainCache, Residency, appraise};
use vouchsafe_protocol::evidence::{Evidence, Logs, SnpVtpmEvidence};
use vouchsafe_protocol::policy::{Accept, EventRules, ImaRule, Product, SnpVtpmAccept, UserDataRule};
use vouchsafe_simulation::hcl::{HclBuilder, report_data, runtime_claims};
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmKey, TpmKeyKind};

use crate::snp_fixture::{self, NOW, report, snp_accept, statement};
use crate::tpm_fixture::{pcr_rules, pcrs};

/// RSA keys are slow to make; all machines share two.
static AK: LazyLock<TpmKey> =
    LazyLock::new(|| TpmKey::from_seed(TpmKeyKind::RsaSsaSha256, [1; 32], "ak").unwrap());
static EK: LazyLock<TpmKey> =
    LazyLock::new(|| TpmKey::from_seed(TpmKeyKind::RsaSsaSha256, [1; 32], "ek").unwrap());

pub fn ak() -> &'static TpmKey {
    &AK
}

/// Right claims of a report that was made for the statement.
pub fn claims() -> Vec<u8> {
    claims_with(&statement().snp_report_data())
}

pub fn claims_with(user_data: &[u8; 64]) -> Vec<u8> {
    runtime_claims(&AK, &EK, user_data)
}

/// A right quote over the statement.
pub fn quote() -> QuoteBuilder {
    QuoteBuilder::over(AK.kind(), &pcrs(), &statement().tpm_qualifying_data())
}

pub struct Machine(pub snp_fixture::Fixture);

impl Machine {
    pub fn new() -> Self {
        Self(snp_fixture::Fixture::new(Product::Milan))
    }

    /// An HCL report with these claims, right otherwise.
    pub fn hcl(&self, claims: &[u8]) -> HclBuilder {
        let report = report(&self.0.chip).report_data(&report_data(claims));
        HclBuilder::new(&report.sign(&self.0.chip).unwrap(), claims)
    }

    pub fn evidence_with(&self, hcl: &HclBuilder) -> SnpVtpmEvidence {
        self.evidence_of(hcl.encode(), &quote(), &AK)
    }

    pub fn evidence_of(&self, hcl_report: Vec<u8>, quote: &QuoteBuilder, ak: &TpmKey) -> SnpVtpmEvidence {
        let endorsements = self.0.evidence(self.0.report()).endorsements;
        let quote = quote.encode();
        let signature = ak.sign(&quote).unwrap();
        SnpVtpmEvidence { hcl_report, endorsements, quote, signature, pcrs: pcrs(), logs: Logs::default() }
    }

    pub fn good(&self) -> SnpVtpmEvidence {
        self.evidence_with(&self.hcl(&claims()))
    }

    pub fn appraise(&self, evidence: SnpVtpmEvidence, rules: &[Accept]) -> Result<Appraisal, AppraisalError> {
        let evidence = Evidence::SnpVtpm(Box::new(evidence));
        let context = self.0.context(NOW);
        appraise(&evidence, &statement(), rules, Residency::NotATpm, context, &mut ChainCache::new())
    }

    pub fn refusal(&self, evidence: SnpVtpmEvidence) -> AppraisalError {
        self.appraise(evidence, &[accept()]).unwrap_err()
    }
}

pub fn accept() -> Accept {
    Accept::SnpVtpm(vtpm_accept())
}

pub fn vtpm_accept() -> SnpVtpmAccept {
    SnpVtpmAccept {
        snp: snp_accept(),
        pcrs: pcr_rules(),
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        user_data: UserDataRule::Required,
    }
}
