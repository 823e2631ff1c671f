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
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, TpmAnchor};
use vouchsafe_protocol::evidence::{AkProof, Logs, PcrValue, TpmEvidence, TpmKeys};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{
    Accept, AkRule, AllowedEvents, EkRule, EventRules, ImaRule, PcrExpectation, PcrRule, Permission,
    ReferenceValue, TpmAccept, TpmKind, TpmKindRule,
};

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
        let (class, kind) = (AnchorClass::Hardware, TpmKind::Hardware);
        let set = TpmAnchor { name: "maker".parse()?, class, kind, certificates };
        Ok(Anchors { amd: AmdAnchors::BuiltIn, tpm: vec![set] })
    }

    /// The attestation key, proven to be in the TPM of the endorsement key.
    pub fn resident(&self, anchors: &TrustAnchors) -> anyhow::Result<ResidentAk> {
        let keys = TpmKeys {
            ak_public: self.ak_public.clone(),
            proof: AkProof::Credential {
                ek_chain: vec![self.ek_certificate.clone()],
                ek_public: self.ek_public.clone(),
            },
        };
        let ek = verify_ek(&keys, anchors, NOW)?;
        let ak = parse_ak(&self.ak_public)?;
        let expected = Key32::take(&mut CREDENTIAL.clone()).context("no credential")?;
        Ok(confirm_residency(ek, ak, &expected, &CREDENTIAL)?)
    }

    /// A quote of PCRs with constant values, or of those that a log replays to, and the log.
    pub fn evidence(
        &self,
        statement: &StatementPreimage,
        log: Option<&BootLog>,
    ) -> anyhow::Result<TpmEvidence> {
        let pcrs = log.map_or_else(pcrs, BootLog::pcrs);
        let quote = quote(&statement.tpm_qualifying_data(), &pcrs)?;
        let signature = self.sign(&quote)?;
        let (r, s) = signature.split_at_checked(32).context("signature")?;
        let signature = [&[0x00, 0x18, 0x00, 0x0b], sized(r)?.as_slice(), sized(s)?.as_slice()].concat();
        let ak_public = self.ak_public.clone();
        let logs = Logs { boot: log.map(|log| log.bytes.clone()), ima: None };
        Ok(TpmEvidence { quote, signature, ak_public, pcrs, logs })
    }

    /// A rule that accepts that.
    pub fn accept(&self, log: Option<&BootLog>) -> anyhow::Result<Accept> {
        let rule = |pcr: PcrValue| PcrRule {
            index: pcr.index,
            expected: match log {
                Some(_) => PcrExpectation::Events,
                None => PcrExpectation::Values(vec![ReferenceValue::lasting(pcr.value)]),
            },
            all_zero: Permission::Forbidden,
        };
        let pcrs = log.map_or_else(pcrs, BootLog::pcrs).into_iter().map(rule).collect();
        Ok(Accept::Tpm(TpmAccept {
            anchors: vec!["maker".parse()?],
            kind: TpmKindRule::Hardware,
            pcrs,
            events: EventRules { allowed: log.map(BootLog::allowed).unwrap_or_default(), ..EventRules::NONE },
            ima: ImaRule::NotRequired,
            ak: AkRule::ByCredential,
            ek: EkRule::AnyTpm,
        }))
    }

    /// The bare verification of such a quote's signature.
    pub fn bare(&self) -> anyhow::Result<impl Fn() -> anyhow::Result<()>> {
        let message = quote(&[0x11; 32], &pcrs())?;
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

/// Events of a log.
pub const EVENTS: usize = 60;
/// PCRs that firmware measures into, which a log has events in.
const FIRMWARE_PCRS: u8 = 8;

/// A crypto-agile boot event log (TCG PC Client Platform Firmware Profile, section 10) with digests of SHA-1 and
/// SHA-256, as machines write it: events in PCRs 0 to 7 and then a separator in each, [`EVENTS`] together.
pub struct BootLog {
    bytes: Vec<u8>,
    /// SHA-256 digests by PCR, in the order of the log.
    events: Vec<(u8, [u8; 32])>,
}

impl BootLog {
    pub fn new() -> anyhow::Result<Self> {
        let mut log = Self { bytes: Vec::new(), events: Vec::new() };
        // Spec ID event: PC Client, version 2.0, 8-byte UINTN, SHA-1 and SHA-256, no vendor data.
        let header = [
            b"Spec ID Event03\0".as_slice(),
            &[0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 4, 0, 20, 0, 11, 0, 32, 0, 0],
        ];
        let header = header.concat();
        for field in [0u32.to_le_bytes(), 3u32.to_le_bytes()] {
            log.bytes.extend(field);
        }
        log.bytes.extend([0; 20]);
        log.bytes.extend(u32::try_from(header.len())?.to_le_bytes());
        log.bytes.extend(header);
        for number in 0..EVENTS - usize::from(FIRMWARE_PCRS) {
            let pcr = u8::try_from(number)? % FIRMWARE_PCRS;
            // EV_EFI_PLATFORM_FIRMWARE_BLOB; nothing says that its digest is that of its data.
            log.event(pcr, 0x8000_0008, &[u8::try_from(number)?; 64])?;
        }
        for pcr in 0..FIRMWARE_PCRS {
            log.event(pcr, 4, &[0; 4])?;
        }
        Ok(log)
    }

    fn event(&mut self, pcr: u8, kind: u32, content: &[u8]) -> anyhow::Result<()> {
        let digest = sha256(&[content]);
        self.bytes.extend(u32::from(pcr).to_le_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(2u32.to_le_bytes());
        self.bytes.extend(4u16.to_le_bytes());
        self.bytes.extend(HashAlgorithm::DangerousSha1.digest(&[content]));
        self.bytes.extend(11u16.to_le_bytes());
        self.bytes.extend(digest);
        self.bytes.extend(u32::try_from(content.len())?.to_le_bytes());
        self.bytes.extend(content);
        self.events.push((pcr, digest));
        Ok(())
    }

    /// What it replays to.
    fn pcrs(&self) -> Vec<PcrValue> {
        let replay = |index: u8| {
            let events = self.events.iter().filter(|(pcr, _)| *pcr == index);
            let value = events.fold([0; 32], |value, (_, digest)| sha256(&[&value, digest]));
            PcrValue { index, value }
        };
        (0..FIRMWARE_PCRS).map(replay).collect()
    }

    /// Every event of it, by digest.
    fn allowed(&self) -> Vec<AllowedEvents> {
        let of = |index: u8| {
            let events = self.events.iter().filter(|(pcr, _)| *pcr == index);
            let mut digests: Vec<[u8; 32]> = events.map(|(_, digest)| *digest).collect();
            digests.sort_unstable();
            AllowedEvents { index, digests }
        };
        (0..FIRMWARE_PCRS).map(of).collect()
    }
}

/// TPMS_ATTEST of a quote over PCRs below 8.
fn quote(extra_data: &[u8], pcrs: &[PcrValue]) -> anyhow::Result<Vec<u8>> {
    let selected = pcrs.iter().fold(0u8, |selected, pcr| selected | 1 << pcr.index);
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
        // One selection: SHA-256, three bytes.
        &[0, 0, 0, 1, 0x00, 0x0b, 3, selected, 0, 0],
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
