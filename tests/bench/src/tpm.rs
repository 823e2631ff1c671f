//! A TPM written out in its own bytes (TPM 2.0 Library, Part 2), with keys made here: it quotes in no time.

use anyhow::{Context, anyhow};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
};
use ring::rand::SystemRandom;
use ring::signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use vouchsafe_attestation::{
    ResidentAk, StatementPreimage, TrustAnchors, confirm_residency, parse_ak, verify_ek,
};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::evidence::{PcrValue, TpmEvidence, TpmKeys};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Accept, EkRule, PcrRule, Permission, TpmAccept};

use crate::evidence::NOW;

/// TPM_ALG_ECC, name algorithm SHA-256.
const ECC_SHA256: [u8; 4] = [0x00, 0x23, 0x00, 0x0b];
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const AK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18;
/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const EK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 17;
/// tcg-kp-EKCertificate.
const EK_USAGE: [u64; 5] = [2, 23, 133, 8, 1];
/// What the credential that proves residency holds.
const CREDENTIAL: [u8; 32] = [0x5e; 32];

/// Its keys.
pub struct Tpm {
    authority: Vec<u8>,
    ek_certificate: Vec<u8>,
    ek_public: Vec<u8>,
    ak: EcdsaKeyPair,
    ak_public: Vec<u8>,
}

impl Tpm {
    pub fn new() -> anyhow::Result<Self> {
        let mut params = named("bench TPM maker")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = rcgen::KeyPair::generate()?;
        let authority = params.self_signed(&key)?.der().to_vec();
        let issuer = Issuer::new(params, key);

        let mut params = named("EK")?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(EK_USAGE.to_vec())];
        let ek = rcgen::KeyPair::generate()?;
        let ek_certificate = params.signed_by(&ek, &issuer)?.der().to_vec();
        // AES-128-CFB, no scheme.
        let ek_scheme = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10];
        let ek_public = public(EK_ATTRIBUTES, &ek_scheme, ek.public_key_raw())?;

        let rng = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).map_err(|_| anyhow!("no key"))?;
        let ak = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng)?;
        // No symmetric algorithm, ECDSA with SHA-256.
        let ak_scheme = [0x00, 0x10, 0x00, 0x18, 0x00, 0x0b];
        let ak_public = public(AK_ATTRIBUTES, &ak_scheme, ak.public_key().as_ref())?;
        Ok(Self { authority, ek_certificate, ek_public, ak, ak_public })
    }

    pub fn anchors(&self) -> anyhow::Result<Anchors> {
        let certificates = vec![self.authority.clone()];
        let set = TpmAnchor { name: "maker".parse()?, class: AnchorClass::Hardware, certificates };
        Ok(Anchors { amd: AmdAnchors::BuiltIn, tpm: vec![set] })
    }

    /// The attestation key, proven to be in the TPM of the endorsement key.
    pub fn resident(&self, anchors: &TrustAnchors) -> anyhow::Result<ResidentAk> {
        let keys = TpmKeys {
            ek_chain: vec![self.ek_certificate.clone()],
            ek_public: self.ek_public.clone(),
            ak_public: self.ak_public.clone(),
        };
        let ek = verify_ek(&keys, anchors, NOW)?;
        let ak = parse_ak(&self.ak_public)?;
        let expected = Key32::take(&mut CREDENTIAL.clone()).context("no credential")?;
        Ok(confirm_residency(ek, ak, &expected, &CREDENTIAL)?)
    }

    pub fn evidence(&self, statement: &StatementPreimage) -> anyhow::Result<TpmEvidence> {
        let quote = quote(&statement.tpm_qualifying_data())?;
        let signature = self.sign(&quote)?;
        let (r, s) = signature.split_at_checked(32).context("signature")?;
        let signature = [&[0x00, 0x18, 0x00, 0x0b], sized(r)?.as_slice(), sized(s)?.as_slice()].concat();
        let ak_public = self.ak_public.clone();
        Ok(TpmEvidence { quote, signature, ak_public, pcrs: pcrs(), event_log: None })
    }

    pub fn accept(&self) -> anyhow::Result<Accept> {
        let rule = |pcr: PcrValue| PcrRule {
            index: pcr.index,
            values: vec![pcr.value],
            all_zero: Permission::Forbidden,
        };
        let pcrs = pcrs().into_iter().map(rule).collect();
        Ok(Accept::Tpm(TpmAccept { anchors: vec!["maker".parse()?], pcrs, ek: EkRule::AnyTpm }))
    }

    /// The bare verification of such a quote's signature.
    pub fn bare(&self) -> anyhow::Result<impl Fn() -> anyhow::Result<()>> {
        let message = quote(&[0x11; 32])?;
        let signature = self.sign(&message)?;
        let key = self.ak.public_key().as_ref().to_vec();
        Ok(move || {
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &key)
                .verify(&message, &signature)
                .map_err(|_| anyhow!("a right signature does not verify"))
        })
    }

    fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let signature = self.ak.sign(&SystemRandom::new(), message).map_err(|_| anyhow!("no signature"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// PCR 0 and 7.
fn pcrs() -> Vec<PcrValue> {
    vec![PcrValue { index: 0, value: [0xa0; 32] }, PcrValue { index: 7, value: [0xa7; 32] }]
}

/// TPMS_ATTEST of a quote over [`pcrs`].
fn quote(extra_data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let pcrs = pcrs();
    let values: Vec<&[u8]> = pcrs.iter().map(|pcr| pcr.value.as_slice()).collect();
    Ok([
        // Magic and type.
        [0xff, 0x54, 0x43, 0x47, 0x80, 0x18].as_slice(),
        &sized(&[0, 0x0b, 1, 2, 3])?,
        &sized(extra_data)?,
        // Clock, resetCount, restartCount, safe, firmware version.
        &77u64.to_be_bytes(),
        &5u32.to_be_bytes(),
        &6u32.to_be_bytes(),
        &[1],
        &8u64.to_be_bytes(),
        // One selection: SHA-256, three bytes, PCR 0 and 7.
        &[0, 0, 0, 1, 0x00, 0x0b, 3, 0x81, 0, 0],
        &sized(&sha256(&values))?,
    ]
    .concat())
}

/// TPMT_PUBLIC of a key on NIST P-256 from its uncompressed point.
fn public(attributes: u32, scheme: &[u8], point: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (x, y) = point.get(1..65).context("point")?.split_at(32);
    // No policy; curve P-256; no KDF.
    let (policy, curve) = ([0, 0], [0x00, 0x03, 0x00, 0x10]);
    let attributes = attributes.to_be_bytes();
    Ok([&ECC_SHA256[..], &attributes, &policy, scheme, &curve, &sized(x)?, &sized(y)?].concat())
}

/// TPM2B.
fn sized(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok([u16::try_from(bytes.len())?.to_be_bytes().as_slice(), bytes].concat())
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
