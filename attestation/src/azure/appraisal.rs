//! Rules of a role applied to a paravisor's report and the quote of its virtual TPM.

use vouchsafe_crypto::digest;
use vouchsafe_crypto::verify::PublicKey;
use vouchsafe_protocol::evidence::{PcrValue, SnpVtpmEvidence};
use vouchsafe_protocol::policy::{SnpVtpmAccept, UserDataRule};

use super::{HclReport, VmConfiguration, VtpmQuote, verify_snp_vtpm};
use crate::accepting::{first_accepting, first_passing};
use crate::appraisal::{
    Appraisal, Claims, Context, PlatformClass, PlatformId, Question, SnpClaims, masked_chip, pcr_values,
    read_quote, seconds, snp_claims,
};
use crate::cache::ChainCache;
use crate::error::AppraisalError;
use crate::snp::rules::{self as snp_rules, Claimed, SnpRuleError};
use crate::snp::verify::ReadReport;
use crate::tpm::attest::ClockInfo;
use crate::tpm::logs::{ComparedLogs, ReadLogs};
use crate::tpm::rules::{self as tpm_rules, PcrRules, TpmRuleError};
use crate::x509::rsa_spki;

/// What a paravisor's report and a quote of its virtual TPM showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpVtpmClaims {
    /// The SNP report: of the paravisor, not of what it started.
    pub snp: SnpClaims,
    /// SHA-256 of the SubjectPublicKeyInfo of the attestation key.
    pub ak_digest: [u8; 32],
    /// The quoted PCRs, ascending.
    pub pcrs: Vec<PcrValue>,
    /// Clock and counters of the virtual TPM.
    pub clock: ClockInfo,
    /// Firmware version of the virtual TPM.
    pub firmware_version: u64,
    /// Whether the report, too, was made for this statement.
    pub fresh_report: bool,
    /// What the host configured.
    pub vm_configuration: VmConfiguration,
}

/// Appraises evidence by the rules of its kind, in the order of [`crate::appraise`].
///
/// Steps: 1. HCL report, SNP report and quote read; 2. the quote is over the statement; 3. a rule accepts the report
/// and the PCRs; 4. the SNP report is verified; 5. the claims are those of the report, are read, and the quote is
/// verified by the key they name; 6. the user data are the statement, or the rule waives that; 7. nothing of the chain
/// is revoked, or the rule waives that. Logs cost more to read than signatures: where a rule looks at them, step 3 is
/// applied to the report alone at first, and to the PCRs behind step 5.
///
/// The claims are JSON, and step 5 is the first that reads it: by then a rule has accepted the measurement of the
/// paravisor that wrote it, and a processor of AMD's has signed its hash.
pub(crate) fn appraise_snp_vtpm(
    evidence: &SnpVtpmEvidence,
    question: &Question<'_>,
    rules: &[(usize, &SnpVtpmAccept)],
    context: Context<'_>,
    cache: &mut ChainCache,
) -> Result<Appraisal, AppraisalError> {
    let SnpVtpmEvidence { hcl_report, endorsements, quote: quote_bytes, signature, pcrs, logs } = evidence;
    let Context { anchors, collateral, now_unix_secs: now } = context;
    // Step 1.
    let hcl = HclReport::parse(hcl_report).map_err(AppraisalError::Hcl)?;
    let read = ReadReport::parse(hcl.snp_report(), endorsements).map_err(AppraisalError::Snp)?;
    let (quote, signature) = read_quote(quote_bytes, signature)?;
    // Step 2.
    let qualifying_data = question.statement.tpm_qualifying_data();
    if quote.extra_data != qualifying_data {
        return Err(AppraisalError::Statement);
    }
    let read =
        read.with_collateral(collateral).with_vek(anchors.amd(), cache).map_err(AppraisalError::Snp)?;
    // Step 3.
    let check = |claimed: Claimed<'_>, logs: Option<&ComparedLogs<'_, '_>>, accept: &SnpVtpmAccept| {
        let SnpVtpmAccept { snp, pcrs: pcr_rules, events, ima, user_data: _ } = accept;
        let mut warnings = snp_rules::check(claimed, snp, now).map_err(RuleError::Snp)?;
        let Some(logs) = logs else { return Ok(warnings) };
        let pcr_rules = PcrRules { pcrs: pcr_rules, events, ima };
        let more = tpm_rules::check_pcrs(&quote, pcrs, pcr_rules, now, logs).map_err(RuleError::Tpm)?;
        warnings.extend(more);
        warnings.dedup();
        Ok::<_, RuleError>(warnings)
    };
    let judged = || rules.iter().map(|(_, accept)| accept.pcrs.as_slice());
    // Logs cost more to read than signatures: where a rule looks at them, steps 4 and 5 come before they are read.
    let logs_are_read = ReadLogs::are_wanted(logs, judged());
    let no_logs = (!logs_are_read).then(|| ReadLogs::read(logs, judged()));
    let early = no_logs.as_ref().map(|logs| logs.beside(pcrs));
    let accepted =
        first_accepting(rules, |accept| check(read.claimed(), early.as_ref(), accept), |error| error.step())?;
    // Step 4. If the chip is masked, every accepting rule accepts that.
    let masked = masked_chip(&accepted.rule.snp.chip);
    let verified = read.verify(anchors.amd(), masked, seconds(now), cache).map_err(AppraisalError::Snp)?;
    // Step 5.
    let vtpm_quote = VtpmQuote {
        bytes: quote_bytes,
        quote: &quote,
        signature: &signature,
        values: &pcr_values(pcrs),
        extra_data: &qualifying_data,
    };
    let claims = verify_snp_vtpm(&hcl, &verified, vtpm_quote)?;
    let all_logs = ReadLogs::read(logs, judged());
    let late = all_logs.beside(pcrs);
    let check = |accept: &SnpVtpmAccept| check(verified.claimed(), Some(&late), accept);
    let accepted =
        if logs_are_read { first_accepting(rules, check, |error| error.step())? } else { accepted };
    // Steps 6 and 7. Rules differ in what they ask; any one suffices.
    let fresh_report = claims.user_data() == Some(&question.statement.snp_report_data());
    let accepted = first_passing(accepted, rules, check, |accept| {
        let SnpVtpmAccept { snp, user_data, .. } = accept;
        if !fresh_report && *user_data == UserDataRule::Required {
            return Err(AppraisalError::UserData);
        }
        verified
            .check_revocation(snp.revocation, anchors.amd(), seconds(now), cache)
            .map_err(AppraisalError::Snp)
    })?;
    let product = verified.product();
    let ak_digest = spki_digest(claims.ak());
    Ok(Appraisal {
        class: PlatformClass::SnpVtpm { product },
        anchor_class: anchors.amd().class(),
        evidence_digest: question.evidence_digest()?,
        platform_id: PlatformId::Ak(ak_digest),
        rule: accepted.index,
        warnings: accepted.warnings,
        claims: Claims::SnpVtpm(Box::new(SnpVtpmClaims {
            snp: snp_claims(&verified),
            ak_digest,
            pcrs: pcrs.clone(),
            clock: quote.clock,
            firmware_version: quote.firmware_version,
            fresh_report,
            vm_configuration: claims.vm_configuration().clone(),
        })),
    })
}

/// The claims hold an RSA key and nothing else.
fn spki_digest(ak: &PublicKey) -> [u8; 32] {
    match ak {
        PublicKey::Rsa { modulus, exponent } => digest::sha256(&[&rsa_spki(modulus, exponent)]),
        PublicKey::P256(point) | PublicKey::P384(point) => digest::sha256(&[point]),
    }
}

/// A rule that the evidence broke.
#[derive(Clone, Copy)]
enum RuleError {
    Snp(SnpRuleError),
    Tpm(TpmRuleError),
}

impl RuleError {
    /// The rules over the report come first.
    fn step(self) -> (bool, u8) {
        match self {
            Self::Snp(error) => (false, error.step()),
            Self::Tpm(error) => (true, error.step()),
        }
    }
}

impl From<RuleError> for AppraisalError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Snp(error) => Self::SnpRule(error),
            RuleError::Tpm(error) => Self::TpmRule(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::parse_spki;

    #[test]
    fn a_key_is_written_in_the_one_der_form_whatever_its_length() {
        // Lengths below 128, of 128 and more, of 256 and more, and with a sign byte.
        for (len, first) in
            [(64, 0x7f), (100, 0x80), (110, 0x7f), (127, 0x80), (200, 0xff), (256, 0x80), (512, 0xff)]
        {
            let mut modulus = vec![0xa5; len];
            modulus[0] = first;
            let key = PublicKey::Rsa { modulus: modulus.clone(), exponent: vec![1, 0, 1] };
            assert_eq!(parse_spki(&rsa_spki(&modulus, &[1, 0, 1])), Some(key), "{len}");
        }
    }
}
