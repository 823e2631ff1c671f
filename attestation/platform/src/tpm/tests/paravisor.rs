//! A machine with a paravisor, played by a software TPM: what a paravisor provisions is written into it, and a
//! simulated chip signs the report.

use std::time::Duration;

use tss_esapi::attributes::{NvIndexAttributesBuilder, ObjectAttributesBuilder};
use tss_esapi::handles::{NvIndexTpmHandle, PersistentTpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm, RsaSchemeAlgorithm};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth, Provision};
use tss_esapi::structures::{
    MaxNvBuffer, NvPublic, Public, PublicBuilder, PublicKeyRsa, PublicRsaParametersBuilder, RsaExponent,
    RsaScheme, SymmetricDefinitionObject,
};
use vouchsafe_attestation::anchors::TrustAnchors;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::quote::{Expected, verify_quote};
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, PlatformClass, Residency, appraise, parse_ak,
};
use vouchsafe_crypto::verify::{HashAlgorithm, PublicKey};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::{EvidenceKind, SnpVtpmEvidence};
use vouchsafe_protocol::policy::{
    Accept, ChipRule, EventRules, ImaRule, LaunchDigest, PcrExpectation, PcrRule, Permission, Product,
    RevocationRule, SnpAccept, SnpVtpmAccept, Tcb, TcbFloor, UserDataRule,
};
use vouchsafe_simulation::SimulatedChip;
use vouchsafe_simulation::hcl::{HclBuilder, report_data};

use super::*;
use crate::tpm::paravisor::{AK, ParavisorError, REPORT, SnpVtpmAttester, SnpVtpmConfig, USER_DATA};
use crate::{PlatformConfig, open, open_attester};

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
const QUOTED: [u8; 3] = [0, 4, 7];

/// A restricted RSA signing key.
fn rsa_template(scheme: RsaSchemeAlgorithm) -> Result<Public, tss_esapi::Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_sign_encrypt(true)
        .build()?;
    let parameters = PublicRsaParametersBuilder::new()
        .with_symmetric(SymmetricDefinitionObject::Null)
        .with_scheme(RsaScheme::create(scheme, Some(HashingAlgorithm::Sha256))?)
        .with_key_bits(RsaKeyBits::Rsa2048)
        .with_exponent(RsaExponent::default())
        .with_is_signing_key(true)
        .with_restricted(true)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Rsa)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_rsa_parameters(parameters)
        .with_rsa_unique_identifier(PublicKeyRsa::default())
        .build()
}

/// Makes the attestation key as a paravisor does, and returns its modulus.
fn provision_key(tpm: &Swtpm) -> Vec<u8> {
    let mut connection = Connection::open(&tpm.tcti().parse().unwrap()).unwrap();
    let template = rsa_template(RsaSchemeAlgorithm::RsaSsa);
    let (handle, public) = connection.create_primary(Hierarchy::Endorsement, template).unwrap();
    let persistent = Persistent::Persistent(PersistentTpmHandle::new(AK).unwrap());
    connection
        .command("TPM2_EvictControl", Encrypt::NoneButAuthorize, |context| {
            context.evict_control(Provision::Owner, handle.into(), persistent)
        })
        .unwrap();
    let ak = parse_ak(&key::marshal(&public).unwrap()).unwrap();
    let PublicKey::Rsa { modulus, .. } = ak.key() else { panic!("an RSA key") };
    modulus.clone()
}

/// Defines an index with owner authorisation, and writes it.
fn provision_index(tpm: &Swtpm, index: u32, bytes: &[u8]) {
    let mut connection = Connection::open(&tpm.tcti().parse().unwrap()).unwrap();
    let attributes = NvIndexAttributesBuilder::new()
        .with_owner_write(true)
        .with_owner_read(true)
        .with_auth_read(true)
        .build()
        .unwrap();
    let public = NvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(index).unwrap())
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(attributes)
        .with_data_area_size(bytes.len())
        .build()
        .unwrap();
    let handle = connection
        .command("TPM2_NV_DefineSpace", Encrypt::Command, |context| {
            context.nv_define_space(Provision::Owner, None, public)
        })
        .unwrap();
    for (number, part) in bytes.chunks(512).enumerate() {
        let offset = u16::try_from(number * 512).unwrap();
        connection
            .command("TPM2_NV_Write", Encrypt::Command, |context| {
                context.nv_write(NvAuth::Owner, handle, MaxNvBuffer::try_from(part)?, offset)
            })
            .unwrap();
    }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The HCL report that a paravisor with this key would show for an input.
fn hcl_report(chip: &SimulatedChip, modulus: &[u8], user_data: Option<[u8; 64]>) -> Vec<u8> {
    let user_data = user_data.map_or(String::new(), |bytes| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(r#","user-data":"{hex}""#)
    });
    let claims = format!(
        r#"{{"keys":[{{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{}"}}]{user_data}}}"#,
        base64url(modulus)
    );
    let report = chip
        .report()
        .measurement(LaunchDigest([0x4d; 48]))
        .report_data(&report_data(claims.as_bytes()))
        .sign(chip)
        .unwrap();
    HclBuilder { padded_len: 0, ..HclBuilder::new(&report, claims.as_bytes()) }.encode()
}

struct Machine {
    tpm: Swtpm,
    chip: SimulatedChip,
    files: tempfile::TempDir,
}

impl Machine {
    /// A machine whose paravisor has made a report for an input.
    fn with(user_data: Option<[u8; 64]>) -> Self {
        let tpm = Swtpm::create().unwrap();
        let chip = SimulatedChip::generate(Product::Milan).unwrap();
        let modulus = provision_key(&tpm);
        provision_index(&tpm, REPORT, &hcl_report(&chip, &modulus, user_data));
        let files = tempfile::TempDir::new().unwrap();
        std::fs::write(files.path().join("vcek.der"), chip.vek()).unwrap();
        std::fs::write(files.path().join("ask.der"), chip.issuer()).unwrap();
        Self { tpm, chip, files }
    }

    fn config(&self) -> SnpVtpmConfig {
        SnpVtpmConfig {
            vek: Some(self.files.path().join("vcek.der")),
            intermediate: Some(self.files.path().join("ask.der")),
            refresh: Duration::ZERO,
            ..SnpVtpmConfig::new(self.tpm.tcti().parse().unwrap())
        }
    }

    fn evidence(&self) -> SnpVtpmEvidence {
        let mut attester = open_attester(&PlatformConfig::SnpVtpm(self.config())).unwrap();
        assert_eq!(attester.evidence_kind(), EvidenceKind::SnpVtpm);
        assert_eq!(attester.tpm_keys().unwrap(), None);
        match attester.evidence(&statement(b"challenge"), &QUOTED, LogsWanted::default()).unwrap() {
            Evidence::SnpVtpm(evidence) => *evidence,
            other => panic!("evidence of another kind: {:?}", other.kind()),
        }
    }

    fn judge(
        &self,
        evidence: &SnpVtpmEvidence,
        user_data: UserDataRule,
    ) -> Result<PlatformClass, AppraisalError> {
        let anchors = Anchors { amd: AmdAnchors::Simulated(vec![self.chip.root()]), tpm: Vec::new() };
        let (anchors, collateral) = (TrustAnchors::new(&anchors).unwrap(), Collateral::new());
        let pcrs = evidence.pcrs.iter().map(|pcr| PcrRule {
            index: pcr.index,
            expected: PcrExpectation::Values(vec![pcr.value.into()]),
            all_zero: Permission::Forbidden,
        });
        let rule = Accept::SnpVtpm(SnpVtpmAccept {
            snp: SnpAccept::strict(
                vec![self.chip.product()],
                vec![LaunchDigest([0x4d; 48]).into()],
                vec![TcbFloor::all(self.chip.product(), Tcb::ZERO)],
                ChipRule::AnyChip,
                RevocationRule::Unchecked,
            ),
            pcrs: pcrs.collect(),
            events: EventRules::default(),
            ima: ImaRule::NotRequired,
            user_data,
        });
        let evidence = Evidence::SnpVtpm(Box::new(evidence.clone()));
        let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: NOW };
        let statement = statement(b"challenge");
        let mut cache = ChainCache::new();
        appraise(&evidence, &statement, &[rule], Residency::NotATpm, context, &mut cache)
            .map(|appraisal| appraisal.class)
    }
}

#[test]
fn a_machine_with_a_paravisor_is_accepted_from_end_to_end() {
    let machine = Machine::with(Some(statement(b"challenge").snp_report_data()));
    let evidence = machine.evidence();
    let class = machine.judge(&evidence, UserDataRule::Required).unwrap();
    assert_eq!(class, PlatformClass::SnpVtpm { product: Product::Milan });
    // The input that the paravisor was to put into its report is where it looks for it.
    let mut connection = Connection::open(&machine.tpm.tcti().parse().unwrap()).unwrap();
    let written = nv::read(&mut connection, USER_DATA, 64).unwrap().unwrap();
    assert_eq!(written, statement(b"challenge").snp_report_data());
    drop(connection);
    // A second time the index is there already.
    machine.judge(&machine.evidence(), UserDataRule::Required).unwrap();
    // What the machine runs is in the PCRs, and no bit of the quote is free.
    machine.tpm.extend(7, [9; 32]).unwrap();
    let mut swapped = machine.evidence();
    swapped.pcrs = evidence.pcrs.clone();
    assert!(machine.judge(&swapped, UserDataRule::Required).is_err(), "a PCR changed");
}

#[test]
fn f3_an_old_report_is_read_again_and_left_to_the_verifier() {
    for user_data in [Some([0; 64]), None] {
        let machine = Machine::with(user_data);
        let evidence = machine.evidence();
        let refused = machine.judge(&evidence, UserDataRule::Required).unwrap_err();
        assert_eq!(refused, AppraisalError::UserData);
        machine.judge(&evidence, UserDataRule::NotRequired).unwrap();
    }
}

#[test]
fn a_machine_without_a_paravisor_says_so() {
    let tpm = Swtpm::create().unwrap();
    let config = SnpVtpmConfig::new(tpm.tcti().parse().unwrap());
    let refused = SnpVtpmAttester::open(config.clone()).err().unwrap();
    assert!(matches!(refused, PlatformError::Paravisor(ParavisorError::NoReport)), "{refused:?}");
    provision_index(&tpm, REPORT, b"no report");
    let refused = SnpVtpmAttester::open(config.clone()).err().unwrap();
    assert!(matches!(refused, PlatformError::Paravisor(ParavisorError::NoKey)), "{refused:?}");
    provision_key(&tpm);
    let mut attester = SnpVtpmAttester::open(config.clone()).unwrap();
    let refused = attester.evidence(&statement(b"c"), &QUOTED, LogsWanted::default()).unwrap_err();
    assert!(matches!(refused, PlatformError::Paravisor(ParavisorError::Report(_))), "{refused:?}");
    let refused = open(&PlatformConfig::SnpVtpm(config)).err().unwrap();
    assert!(matches!(refused, PlatformError::NotForVaults), "{refused:?}");
}

/// The salt of RSASSA-PSS is not fixed by the TPM's specification: this shows what a TPM takes.
#[test]
fn quotes_by_rsa_keys_of_both_schemes_verify() {
    let tpm = Swtpm::create().unwrap();
    for scheme in [RsaSchemeAlgorithm::RsaSsa, RsaSchemeAlgorithm::RsaPss] {
        let mut connection = Connection::open(&tpm.tcti().parse().unwrap()).unwrap();
        let (handle, public) =
            connection.create_primary(Hierarchy::Endorsement, rsa_template(scheme)).unwrap();
        let public = key::marshal(&public).unwrap();
        let selection = Selection::new(&QUOTED).unwrap();
        let evidence = quote::quote(&mut connection, handle, &public, [7; 32], &selection).unwrap();
        let ak = parse_ak(&public).unwrap();
        let values = evidence.pcrs.iter();
        let values = values.map(|pcr| ((HashAlgorithm::Sha256, pcr.index), pcr.value.to_vec())).collect();
        let expected = Expected {
            key: ak.key(),
            scheme: Some(ak.scheme()),
            extra_data: &[7; 32],
            sha1: Permission::Forbidden,
        };
        let quote = Quote::parse(&evidence.quote).unwrap();
        let signature = QuoteSignature::parse(&evidence.signature).unwrap();
        assert_eq!(
            verify_quote(&evidence.quote, &quote, &signature, &values, expected),
            Ok(()),
            "{scheme:?}"
        );
    }
}

#[test]
fn all_that_a_paravisor_shows_is_collected() {
    use crate::collect::{Candidates, Machine as Found, Part, Request, detect};
    let request_over = statement(b"challenge");
    let machine = Machine::with(Some(request_over.snp_report_data()));
    let tcti: Tcti = machine.tpm.tcti().parse().unwrap();
    let candidates = Candidates {
        snp: crate::snp::SnpConfig { tsm: "/nowhere".into(), ..Default::default() },
        snp_vtpm: machine.config(),
        tpm: TpmConfig::new(tcti),
    };
    let mut found = detect(candidates).unwrap();
    assert!(matches!(found, Found::SnpVtpm(..)));
    let request = Request { statement: &request_over, pcrs: &QUOTED, ima: false };
    let collected = found.collect(request).unwrap();
    let Evidence::SnpVtpm(evidence) = collected.evidence else { panic!("evidence of another kind") };
    assert_eq!(evidence.endorsements.vek.as_deref(), Some(machine.chip.vek()));
    assert_eq!(evidence.pcrs.len(), QUOTED.len());
    let missing: Vec<Part> = collected.missing.iter().map(|missing| missing.part).collect();
    assert_eq!(missing, [Part::RevocationList, Part::BootLog]);
}
