//! What all cases begin with: keys, certificates, a statement, a time. All of it follows from the seed.

use serde_json::{Value, json};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::policy::{LaunchDigest, Product, Tcb};
use vouchsafe_simulation::{ReportBuilder, SimulatedChip, SimulatedPki, SimulationError, VekSpec};

use super::tpm_world::TpmWorld;
use crate::schema::Introduction;

/// Verification time of every case that does not say another: 2026-01-01.
pub(super) const NOW: &str = "2026-01-01T00:00:00Z";
/// The same in seconds since 1970.
pub(super) const NOW_SECS: u64 = 1_767_225_600;
/// MEASUREMENT.
pub(super) const MEASUREMENT: LaunchDigest = LaunchDigest([0x4d; 48]);
/// Chip of every case that does not say another.
pub(super) const CHIP_ID: [u8; 64] = [0xc1; 64];

/// Products, all of them.
pub(super) const PRODUCTS: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];

/// Right evidence and what it is made with.
pub(super) struct World {
    /// One PKI per product, with the same keys.
    pub(super) pkis: [SimulatedPki; 3],
    /// Somebody else's PKI with the same names.
    pub(super) forged: SimulatedPki,
    /// One right chip per product.
    pub(super) chips: [SimulatedChip; 3],
    /// TPMs.
    pub(super) tpm: TpmWorld,
    /// Fields of the statement.
    pub(super) introduction: Introduction,
    /// Pre-image of the statement, made here from its description, without the verifier's code.
    pub(super) preimage: Vec<u8>,
}

impl World {
    pub(super) fn new(seed: u64) -> Result<Self, SimulationError> {
        let seed = sha256(&[b"vouchsafe corpus", &seed.to_be_bytes()]);
        let genoa = SimulatedPki::from_seed(Product::Genoa, part(&seed, "amd"))?;
        let pkis = [
            genoa.for_product(Product::Milan)?,
            genoa.for_product(Product::Genoa)?,
            genoa.for_product(Product::Turin)?,
        ];
        let [milan, genoa, turin] = &pkis;
        let chip = |pki: &SimulatedPki, product| pki.chip(&VekSpec::vcek(product, tcb(product), CHIP_ID));
        let chips =
            [chip(milan, Product::Milan)?, chip(genoa, Product::Genoa)?, chip(turin, Product::Turin)?];
        let introduction = Introduction {
            challenge: hex::encode(part(&seed, "challenge")),
            offer_digest: hex::encode(part(&seed, "offer")),
            identity_spki: hex::encode(part(&seed, "identity")),
            role: "corpus".to_owned(),
            vault_id: format!("01{}", hex::encode(part(&seed, "vault"))),
        };
        let preimage = preimage(&[
            &part(&seed, "challenge"),
            &part(&seed, "offer"),
            &part(&seed, "identity"),
            b"corpus",
            &[[1].as_slice(), &part(&seed, "vault")].concat(),
        ]);
        let forged = SimulatedPki::from_seed(Product::Genoa, part(&seed, "forged"))?;
        let tpm = TpmWorld::new(part(&seed, "tpm"))?;
        Ok(Self { pkis, forged, chips, tpm, introduction, preimage })
    }

    pub(super) fn pki(&self, product: Product) -> &SimulatedPki {
        let [milan, genoa, turin] = &self.pkis;
        match product {
            Product::Milan => milan,
            Product::Genoa => genoa,
            Product::Turin => turin,
        }
    }

    pub(super) fn chip(&self, product: Product) -> &SimulatedChip {
        let [milan, genoa, turin] = &self.chips;
        match product {
            Product::Milan => milan,
            Product::Genoa => genoa,
            Product::Turin => turin,
        }
    }

    /// A right VCEK of a product.
    pub(super) fn vcek(&self, product: Product) -> VekSpec {
        VekSpec::vcek(product, tcb(product), CHIP_ID)
    }

    /// A right VLEK of a product: dates of one year around the verification time.
    pub(super) fn vlek(&self, product: Product) -> VekSpec {
        let mut spec = VekSpec::vlek(product, tcb(product));
        spec.validity.not_before = NOW_SECS - 100 * DAY;
        spec.validity.not_after = NOW_SECS + 200 * DAY;
        spec
    }

    /// A right report of a chip.
    pub(super) fn report(&self, chip: &SimulatedChip) -> ReportBuilder {
        chip.report()
            .measurement(MEASUREMENT)
            .report_data(&self.report_data())
            .set(REPORT_ID, &[0x1d; 32])
            .set(REPORT_ID_MA, &[0xff; 32])
    }

    /// What right SNP evidence is over.
    pub(super) fn report_data(&self) -> [u8; 64] {
        vouchsafe_crypto::digest::sha512(&[&self.preimage])
    }

    /// What a right quote is over.
    pub(super) fn nonce(&self) -> [u8; 32] {
        sha256(&[&self.preimage])
    }

    /// The policy of every SNP case: strict, with everything pinned.
    pub(super) fn snp_policy(&self, product: Product) -> Value {
        let floor = tcb_json(product, tcb(product));
        json!({
            "strict": true,
            "products": ["Milan", "Genoa", "Turin"],
            "measurement": hex::encode(MEASUREMENT.0),
            "report_data": hex::encode(self.report_data()),
            "chip": "any-chip",
            "tcb_floors": { "reported": floor, "committed": floor, "launch": floor, "current": floor },
        })
    }
}

/// A day in seconds.
pub(super) const DAY: u64 = 24 * 3600;
/// Offsets of fields that `vouchsafe_simulation::field` does not name (AMD 56860, table 23).
pub(super) const FAMILY_ID: usize = 0x010;
pub(super) const IMAGE_ID: usize = 0x020;
pub(super) const ID_KEY_DIGEST: usize = 0x0e0;
pub(super) const AUTHOR_KEY_DIGEST: usize = 0x110;
pub(super) const REPORT_ID: usize = 0x140;
pub(super) const REPORT_ID_MA: usize = 0x160;

/// TCB of every chip that does not say another.
pub(super) fn tcb(product: Product) -> Tcb {
    Tcb {
        fmc: if product == Product::Turin { 3 } else { 0 },
        boot_loader: 9,
        tee: 2,
        snp: 23,
        microcode: 200,
    }
}

/// A TCB as the `policy` of a case has it.
pub(super) fn tcb_json(product: Product, tcb: Tcb) -> Value {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    match product {
        Product::Turin => {
            json!({ "fmc": fmc, "bootloader": boot_loader, "tee": tee, "snp": snp, "microcode": microcode })
        }
        Product::Milan | Product::Genoa => {
            json!({ "bootloader": boot_loader, "tee": tee, "snp": snp, "microcode": microcode })
        }
    }
}

/// AMD's name of a product.
pub(super) fn name(product: Product) -> &'static str {
    match product {
        Product::Milan => "Milan",
        Product::Genoa => "Genoa",
        Product::Turin => "Turin",
    }
}

fn part(seed: &[u8; 32], purpose: &str) -> [u8; 32] {
    sha256(&[seed, purpose.as_bytes()])
}

/// Domain, then each part with its length.
fn preimage(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"vouchsafe/1/introduction".to_vec();
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}
