//! A TPM written out by hand: keys made here, structures in the TPM's own bytes, an EK certificate of a test CA.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_attestation::{
    Appraisal, AppraisalError, ChainCache, Residency, ResidentAk, TrustAnchors, appraise, confirm_residency,
    parse_ak, verify_ek,
};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::evidence::{Evidence, PcrValue, TpmEvidence, TpmKeys};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, EkRule, PcrRule, Permission, TpmAccept};

use crate::snp_fixture::{NOW, statement};

pub const SHA1: u16 = 0x0004;
pub const SHA256: u16 = 0x000b;
pub const EK_USAGE: &[u64] = &[2, 23, 133, 8, 1];
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
pub const AK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18;
/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
pub const EK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 17;

/// A certificate authority of TPMs.
pub struct Ca {
    pub issuer: Issuer<'static, KeyPair>,
    pub der: Vec<u8>,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        Self::with(ca_params(name))
    }

    pub fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    /// An authority below this one.
    pub fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }
}

pub fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub fn ek_params() -> CertificateParams {
    let mut params = params("EK");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(EK_USAGE.to_vec())];
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// An attestation key, with the private part that a TPM would keep.
pub struct Ak {
    pub key: EcdsaKeyPair,
    pub public: Vec<u8>,
}

impl Ak {
    pub fn generate() -> Self {
        Self::with_attributes(AK_ATTRIBUTES)
    }

    pub fn with_attributes(attributes: u32) -> Self {
        let rng = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
        let public = ecc_public(SHA256, attributes, &NO_SYMMETRIC, &ECDSA_SHA256, key.public_key().as_ref());
        Self { key, public }
    }

    /// TPMT_SIGNATURE over bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), bytes).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        [&[0x00, 0x18, 0x00, 0x0b], sized(r).as_slice(), sized(s).as_slice()].concat()
    }
}

pub const NO_SYMMETRIC: [u8; 2] = [0x00, 0x10];
pub const AES_128_CFB: [u8; 6] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43];
pub const ECDSA_SHA256: [u8; 4] = [0x00, 0x18, 0x00, 0x0b];
pub const NO_SCHEME: [u8; 2] = [0x00, 0x10];

/// TPMT_PUBLIC of a P-256 key from its uncompressed point.
pub fn ecc_public(name_alg: u16, attributes: u32, symmetric: &[u8], scheme: &[u8], point: &[u8]) -> Vec<u8> {
    [
        &[0x00, 0x23],
        name_alg.to_be_bytes().as_slice(),
        &attributes.to_be_bytes(),
        &[0, 0],
        symmetric,
        scheme,
        // NIST P-256, no KDF.
        &[0x00, 0x03, 0x00, 0x10],
        &sized(&point[1..33]),
        &sized(&point[33..]),
    ]
    .concat()
}

pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), bytes].concat()
}

/// TPMS_ATTEST before it is encoded.
#[derive(Clone)]
pub struct QuoteBuilder {
    pub magic: u32,
    pub kind: u16,
    pub extra_data: Vec<u8>,
    pub safe: u8,
    /// Bank and bitmap.
    pub selection: Vec<(u16, Vec<u8>)>,
    pub pcr_digest: Vec<u8>,
}

impl QuoteBuilder {
    /// A right one over the SHA-256 values of PCRs.
    pub fn over(pcrs: &[PcrValue]) -> Self {
        let mut bitmap = vec![0u8; 3];
        for pcr in pcrs {
            bitmap[usize::from(pcr.index / 8)] |= 1 << (pcr.index % 8);
        }
        let values: Vec<&[u8]> = pcrs.iter().map(|pcr| pcr.value.as_slice()).collect();
        Self {
            magic: 0xff54_4347,
            kind: 0x8018,
            extra_data: statement().tpm_qualifying_data().to_vec(),
            safe: 1,
            selection: vec![(SHA256, bitmap)],
            pcr_digest: vouchsafe_crypto::digest::sha256(&values).to_vec(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_be_bytes().to_vec();
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(sized(&[0, 0x0b, 1, 2, 3]));
        bytes.extend(sized(&self.extra_data));
        // clock, resetCount, restartCount, safe, firmwareVersion
        bytes.extend(77u64.to_be_bytes());
        bytes.extend(5u32.to_be_bytes());
        bytes.extend(6u32.to_be_bytes());
        bytes.push(self.safe);
        bytes.extend(8u64.to_be_bytes());
        bytes.extend(u32::try_from(self.selection.len()).unwrap().to_be_bytes());
        for (bank, bitmap) in &self.selection {
            bytes.extend(bank.to_be_bytes());
            bytes.push(u8::try_from(bitmap.len()).unwrap());
            bytes.extend(bitmap);
        }
        bytes.extend(sized(&self.pcr_digest));
        bytes
    }
}

pub struct Fixture {
    pub ca: Ca,
    pub ek: KeyPair,
    pub ak: Ak,
    pub anchors: TrustAnchors,
}

impl Fixture {
    pub fn new() -> Self {
        let ca = Ca::new("TPM maker");
        let anchors = anchors(&[("maker", AnchorClass::Hardware, vec![ca.der.clone()])]);
        Self { ca, ek: KeyPair::generate().unwrap(), ak: Ak::generate(), anchors }
    }

    /// What the TPM says of its keys, right.
    pub fn keys(&self) -> TpmKeys {
        self.keys_with(ek_params())
    }

    /// With a certificate of other contents, by the right authority.
    pub fn keys_with(&self, params: CertificateParams) -> TpmKeys {
        let der = params.signed_by(&self.ek, &self.ca.issuer).unwrap().der().to_vec();
        self.keys_of(vec![der])
    }

    /// With this chain.
    pub fn keys_of(&self, ek_chain: Vec<Vec<u8>>) -> TpmKeys {
        let point = self.ek.public_key_raw();
        TpmKeys {
            ek_chain,
            ek_public: ecc_public(SHA256, EK_ATTRIBUTES, &AES_128_CFB, &NO_SCHEME, point),
            ak_public: self.ak.public.clone(),
        }
    }

    /// The AK, proven resident.
    pub fn resident(&self) -> ResidentAk {
        let ek = verify_ek(&self.keys(), &self.anchors, NOW).unwrap();
        let ak = parse_ak(&self.ak.public).unwrap();
        confirm_residency(ek, ak, &secret(), &[0x5e; 32]).unwrap()
    }

    /// Evidence of a quote, signed by the AK, with these values.
    pub fn evidence(&self, quote: &QuoteBuilder, pcrs: &[PcrValue]) -> TpmEvidence {
        let quote = quote.encode();
        let signature = self.ak.sign(&quote);
        let ak_public = self.ak.public.clone();
        TpmEvidence { quote, signature, ak_public, pcrs: pcrs.to_vec(), event_log: None }
    }

    pub fn good(&self) -> TpmEvidence {
        self.evidence(&QuoteBuilder::over(&pcrs()), &pcrs())
    }

    pub fn appraise(&self, evidence: TpmEvidence, rules: &[Accept]) -> Result<Appraisal, AppraisalError> {
        let resident = self.resident();
        let evidence = Evidence::Tpm(evidence);
        let residency = Residency::Proven(&resident);
        appraise(&evidence, &statement(), rules, &self.anchors, residency, NOW, &mut ChainCache::new())
    }

    pub fn refusal(&self, evidence: TpmEvidence) -> AppraisalError {
        self.appraise(evidence, &[accept()]).unwrap_err()
    }

    /// The refusal of a quote that is signed right.
    pub fn refusal_of(&self, quote: &QuoteBuilder) -> AppraisalError {
        self.refusal(self.evidence(quote, &pcrs()))
    }
}

/// The secret that [`Fixture::resident`] answers with.
pub fn secret() -> Key32 {
    Key32::take(&mut [0x5e; 32]).unwrap()
}

pub fn anchors(sets: &[(&str, AnchorClass, Vec<Vec<u8>>)]) -> TrustAnchors {
    TrustAnchors::new(&anchor_sets(sets)).unwrap()
}

pub fn anchor_sets(sets: &[(&str, AnchorClass, Vec<Vec<u8>>)]) -> Anchors {
    let tpm = sets
        .iter()
        .map(|(name, class, certificates)| TpmAnchor {
            name: name.parse().unwrap(),
            class: *class,
            certificates: certificates.clone(),
        })
        .collect();
    Anchors { amd: AmdAnchors::BuiltIn, tpm }
}

/// PCR 0 and 7.
pub fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 0, value: [0xa0; 32] }, PcrValue { index: 7, value: [0xa7; 32] }]
}

pub fn accept() -> Accept {
    Accept::Tpm(tpm_accept())
}

pub fn tpm_accept() -> TpmAccept {
    let rule = |pcr: PcrValue| PcrRule {
        index: pcr.index,
        values: vec![[1; 32], pcr.value],
        all_zero: Permission::Forbidden,
    };
    TpmAccept {
        anchors: vec!["maker".parse().unwrap()],
        pcrs: pcrs().into_iter().map(rule).collect(),
        ek: EkRule::AnyTpm,
    }
}
