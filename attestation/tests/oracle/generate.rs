//! Policies at random, a report that each accepts, and the changes that matter to it.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use vouchsafe_protocol::policy::{
    AbiVersion, AuthorKeyRule, BitRule, ChipId, ChipRule, CspName, Expiry, GuestPolicyRules, HostDataRule,
    IdBlockRule, IdRule, LaunchDigest, MigrationAgentRule, MitigationRule, Permission, PlatformInfoRules,
    Product, ReferenceValue, ReportIdRule, RevocationRule, SnpAccept, Tcb, TcbFloor, TcbFloors, TcbGrace,
};

use crate::fields;

/// When questions are asked, unless they are about time.
const NOW: u64 = 1_800_000_000;
const PRODUCTS: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];
const PROVIDER: &str = "cloud-a";
const ORDER_LESS_ONE: [u8; 2] = [0x73, 0x72];

/// A policy and a report that it accepts.
pub struct Case {
    pub accept: SnpAccept,
    pub report: Vec<u8>,
    product: Product,
    provider: Option<&'static str>,
}

/// Bytes set at an offset.
#[derive(Clone, Debug)]
pub struct Edit {
    pub offset: usize,
    pub bytes: Vec<u8>,
}

/// What is asked of both.
#[derive(Clone, Debug)]
pub struct Question {
    pub edits: Vec<Edit>,
    pub product: Product,
    pub provider: Option<&'static str>,
    pub now: u64,
}

impl Question {
    pub fn to_json(&self) -> Value {
        let edits: Vec<Value> =
            self.edits.iter().map(|edit| json!([edit.offset, hex::encode(&edit.bytes)])).collect();
        json!({ "set": edits, "product": self.product, "provider": self.provider, "now": self.now })
    }
}

/// Offsets of a TCB's components in the order of [`Tcb`]; Milan and Genoa have no FMC.
fn places(product: Product) -> [Option<usize>; 5] {
    match product {
        Product::Turin => [Some(0), Some(1), Some(2), Some(3), Some(7)],
        Product::Milan | Product::Genoa => [None, Some(0), Some(1), Some(6), Some(7)],
    }
}

fn components(tcb: Tcb) -> [u8; 5] {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    [fmc, boot_loader, tee, snp, microcode]
}

fn raw(product: Product, tcb: Tcb) -> [u8; 8] {
    let mut raw = [0; 8];
    for (place, value) in places(product).into_iter().zip(components(tcb)) {
        if let Some(place) = place {
            raw[place] = value;
        }
    }
    raw
}

fn random_tcb(random: &mut StdRng, product: Product, least: Tcb) -> Tcb {
    let mut up = |least: u8| least.saturating_add(random.random_range(0..3));
    let [fmc, boot_loader, tee, snp, microcode] = components(least).map(&mut up);
    let fmc = if product == Product::Turin { fmc } else { 0 };
    Tcb { fmc, boot_loader, tee, snp, microcode }
}

fn lower(tcb: Tcb) -> Tcb {
    let [fmc, boot_loader, tee, snp, microcode] =
        components(tcb).map(|component| component.saturating_sub(2));
    Tcb { fmc, boot_loader, tee, snp, microcode }
}

/// A rule for a bit, and the bit as the rule wants it.
fn bit(random: &mut StdRng) -> (BitRule, bool) {
    match random.random_range(0..4) {
        0 => (BitRule::Required, true),
        1 => (BitRule::Forbidden, false),
        _ => (BitRule::Any, random.random()),
    }
}

impl Case {
    #[expect(clippy::too_many_lines, reason = "one field after another")]
    pub fn random(random: &mut StdRng) -> Self {
        let product = *PRODUCTS.choose(random).unwrap();
        let version: u32 = random.random_range(2..=5);
        let vlek = random.random_bool(0.25);
        let mut report = vec![0; fields::LEN];
        let mut put =
            |offset: usize, bytes: &[u8]| report[offset..offset + bytes.len()].copy_from_slice(bytes);

        let mut products: Vec<Product> = vec![product];
        products
            .extend(PRODUCTS.iter().copied().filter(|other| *other != product && random.random_bool(0.4)));

        let digest = LaunchDigest(random.random::<[u8; 64]>()[..48].try_into().unwrap());
        let expiry = match random.random_range(0..3) {
            0 => Expiry::Never,
            1 => Expiry::At { expires_unix_secs: NOW + 10, grace_secs: 100 },
            _ => Expiry::At { expires_unix_secs: NOW - 10, grace_secs: 100 },
        };
        let mut measurements = vec![ReferenceValue { value: digest, expiry }];
        if random.random_bool(0.3) {
            measurements.insert(0, LaunchDigest([0x11; 48]).into());
            // The same value twice: the one that lasts longer decides.
            let early = Expiry::At { expires_unix_secs: NOW - 1000, grace_secs: 1 };
            measurements.push(ReferenceValue { value: digest, expiry: early });
        }
        put(fields::MEASUREMENT, &digest.0);

        // Committed at or above reported, current at or above committed.
        let base = Tcb { fmc: 3, boot_loader: 4, tee: 2, snp: 20, microcode: 100 };
        let reported = random_tcb(random, product, base);
        let committed = random_tcb(random, product, reported);
        let provisional = random.random_bool(0.5);
        let current = if provisional { random_tcb(random, product, committed) } else { committed };
        let launch = random_tcb(random, product, base);
        for (offset, tcb) in [
            (fields::REPORTED_TCB, reported),
            (fields::COMMITTED_TCB, committed),
            (fields::CURRENT_TCB, current),
            (fields::LAUNCH_TCB, launch),
        ] {
            put(offset, &raw(product, tcb));
        }
        let at = TcbFloors { committed, current, launch, reported };
        let above = |tcb: Tcb| Tcb { microcode: tcb.microcode.saturating_add(1), ..tcb };
        let late = random.random_bool(0.3);
        let below = TcbFloors {
            committed: lower(committed),
            current: lower(current),
            launch: lower(launch),
            reported: lower(reported),
        };
        let floor = match (late, random.random()) {
            // Reached only for the sake of the grace.
            (true, _) => TcbFloor {
                product,
                floors: TcbFloors { reported: above(reported), ..at },
                grace: TcbGrace::Until { floors: at, until_unix_secs: NOW + 50 },
            },
            (false, true) => TcbFloor {
                product,
                floors: at,
                grace: TcbGrace::Until { floors: below, until_unix_secs: NOW + 50 },
            },
            (false, false) => TcbFloor { product, floors: at, grace: TcbGrace::NoGrace },
        };
        let mut tcb_floors: Vec<TcbFloor> = products
            .iter()
            .filter(|other| **other != product && random.random_bool(0.5))
            .map(|other| TcbFloor::all(*other, base))
            .collect();
        tcb_floors.push(floor);

        let (family, image): ([u8; 16], [u8; 16]) = (random.random(), random.random());
        put(fields::FAMILY_ID, &family);
        put(fields::IMAGE_ID, &image);
        let host_data: [u8; 32] = random.random();
        put(fields::HOST_DATA, &host_data);
        let guest_svn: u32 = random.random_range(1..1000);
        put(fields::GUEST_SVN, &guest_svn.to_le_bytes());
        let (id_key, author_key) = ([random.random(); 48], [random.random(); 48]);
        put(fields::ID_KEY_DIGEST, &id_key);
        put(fields::AUTHOR_KEY_DIGEST, &author_key);
        let report_id: [u8; 32] = random.random();
        put(fields::REPORT_ID, &report_id);
        let migration_agent = match random.random_range(0..3) {
            0 => MigrationAgentRule::NoMigrationAgent,
            1 => MigrationAgentRule::AnyMigrationAgent,
            _ => MigrationAgentRule::Exactly(report_id),
        };
        let agent = if let MigrationAgentRule::Exactly(agent) = migration_agent { agent } else { [0xff; 32] };
        put(fields::REPORT_ID_MA, &agent);

        let policy_bits: [(BitRule, bool); 9] = core::array::from_fn(|_| bit(random));
        let abi = AbiVersion { major: random.random_range(1..3), minor: random.random_range(1..60) };
        let mut guest = u64::from(abi.minor) | u64::from(abi.major) << 8 | 1 << 17;
        for (place, (_, set)) in [16, 18, 19, 20, 21, 22, 23, 24, 25].into_iter().zip(policy_bits) {
            guest |= u64::from(set) << place;
        }
        put(fields::POLICY, &guest.to_le_bytes());
        let [
            smt,
            migrate_ma,
            debug,
            single_socket,
            cxl_allowed,
            mem_aes_256_xts,
            rapl_disabled,
            hiding,
            swap,
        ] = policy_bits.map(|(rule, _)| rule);

        let platform_bits: [(BitRule, bool); 8] = core::array::from_fn(|_| bit(random));
        let mut platform = 0u64;
        for (place, (_, set)) in (0..8).zip(platform_bits) {
            platform |= u64::from(set) << place;
        }
        put(fields::PLATFORM_INFO, &platform.to_le_bytes());
        let platform_rules = platform_bits.map(|(rule, _)| rule);

        let vmpl: u8 = random.random_range(0..=3);
        put(fields::VMPL, &u32::from(vmpl).to_le_bytes());
        put(fields::VERSION, &version.to_le_bytes());
        put(fields::SIGNATURE_ALGO, &1u32.to_le_bytes());
        put(fields::FLAGS, &(1 | u32::from(vlek) << 2).to_le_bytes());
        let (r, s) = ([1 + random.random::<u8>() / 2; 47], [7; 48]);
        put(fields::R, &r);
        put(fields::S, &s);
        if version >= 3 {
            put(fields::REPORTED_TCB + 8, &[0x19, 1, 1]);
        }

        let mut mitigations = MitigationRule { launch: 0, current: 0 };
        if version >= 5 && random.random_bool(0.6) {
            mitigations = MitigationRule { launch: 0b101, current: random.random_range(0..2) << 63 };
            put(fields::LAUNCH_MITIGATIONS, &0b1101u64.to_le_bytes());
            put(fields::CURRENT_MITIGATIONS, &(1u64 << 63 | 2).to_le_bytes());
        }

        let chip_id = if vlek { [0; 64] } else { [random.random_range(1..=255); 64] };
        put(fields::CHIP_ID, &chip_id);
        let chip = match (vlek, random.random_range(0..3)) {
            (true, 0) => ChipRule::AnyChipEvenMasked,
            (true, _) => ChipRule::Providers(vec![CspName("cloud-b".into()), CspName(PROVIDER.into())]),
            (false, 0) => ChipRule::AnyChipEvenMasked,
            (false, 1) => ChipRule::AnyChip,
            (false, _) => ChipRule::Allow(vec![ChipId([0xee; 64]), ChipId(chip_id)]),
        };

        let sometimes = |random: &mut StdRng| random.random_bool(0.5);
        let permission = |random: &mut StdRng| {
            if random.random_bool(0.3) { Permission::Allowed } else { Permission::Forbidden }
        };
        let accept = SnpAccept {
            products,
            measurements,
            tcb_floors,
            provisional_firmware: if provisional { Permission::Allowed } else { permission(random) },
            guest_policy: GuestPolicyRules {
                min_abi: abi,
                smt,
                migrate_ma,
                debug,
                single_socket,
                cxl_allowed,
                mem_aes_256_xts,
                rapl_disabled,
                ciphertext_hiding: hiding,
                page_swap_disabled: swap,
            },
            platform_info: PlatformInfoRules {
                smt: platform_rules[0],
                tsme: platform_rules[1],
                ecc: platform_rules[2],
                rapl_disabled: platform_rules[3],
                ciphertext_hiding: platform_rules[4],
                alias_check_complete: platform_rules[5],
                iommu_write_safe: platform_rules[6],
                tio: platform_rules[7],
                unknown_bits: permission(random),
            },
            mitigations,
            vmpl,
            chip,
            revocation: RevocationRule::Unchecked,
            min_report_version: random.random_range(2..=version),
            host_data: match sometimes(random) {
                true => HostDataRule::Exactly(host_data),
                false => HostDataRule::AnyHostData,
            },
            id_block: match random.random_range(0..3) {
                0 => IdBlockRule::AnyIdBlock,
                1 => IdBlockRule::SignedBy {
                    id_keys: vec![LaunchDigest([0xdd; 48]), LaunchDigest(id_key)],
                    author: AuthorKeyRule::AnyAuthor,
                },
                _ => IdBlockRule::SignedBy {
                    id_keys: vec![LaunchDigest(id_key)],
                    author: AuthorKeyRule::OneOf(vec![LaunchDigest(author_key)]),
                },
            },
            family_id: if sometimes(random) { IdRule::Exactly(family) } else { IdRule::AnyId },
            image_id: if sometimes(random) { IdRule::Exactly(image) } else { IdRule::AnyId },
            min_guest_svn: guest_svn,
            report_id: match sometimes(random) {
                true => ReportIdRule::Exactly(report_id),
                false => ReportIdRule::AnyReportId,
            },
            migration_agent,
            reserved_fields: permission(random),
        };
        Self { accept, report, product, provider: vlek.then_some(PROVIDER) }
    }

    pub fn as_it_is(&self) -> Question {
        Question { edits: Vec::new(), product: self.product, provider: self.provider, now: NOW }
    }

    /// Every single change: numbers one below, at and one above; bits the other way; bytes of another value; times
    /// around every end.
    pub fn changes(&self) -> Vec<Question> {
        let mut edits: Vec<Edit> = Vec::new();
        let mut edit = |offset: usize, bytes: &[u8]| edits.push(Edit { offset, bytes: bytes.to_vec() });
        let read = |offset: usize, len: usize| &self.report[offset..offset + len];
        let word = |offset: usize| u32::from_le_bytes(read(offset, 4).try_into().unwrap());
        let long = |offset: usize| u64::from_le_bytes(read(offset, 8).try_into().unwrap());

        for version in 0..=6u32 {
            edit(fields::VERSION, &version.to_le_bytes());
        }
        let svn = word(fields::GUEST_SVN);
        for svn in [0, svn - 1, svn + 1, u32::MAX] {
            edit(fields::GUEST_SVN, &svn.to_le_bytes());
        }
        let guest = long(fields::POLICY);
        let abi = self.accept.guest_policy.min_abi;
        for (major, minor) in [
            (abi.major, abi.minor - 1),
            (abi.major, abi.minor + 1),
            (abi.major - 1, abi.minor),
            (abi.major - 1, 255),
            (abi.major + 1, 0),
        ] {
            let [_, _, rest @ ..] = guest.to_le_bytes();
            edit(fields::POLICY, &[[minor, major].as_slice(), &rest].concat());
        }
        for bit in (16..=27).chain([40, 63]) {
            edit(fields::POLICY, &(guest ^ 1 << bit).to_le_bytes());
        }
        let platform = long(fields::PLATFORM_INFO);
        for bit in (0..=9).chain([40, 63]) {
            edit(fields::PLATFORM_INFO, &(platform ^ 1 << bit).to_le_bytes());
        }
        for vmpl in [0, 1, 2, 3, 4, u32::MAX - 1, u32::MAX] {
            edit(fields::VMPL, &u32::to_le_bytes(vmpl));
        }
        for algorithm in [0u32, 2] {
            edit(fields::SIGNATURE_ALGO, &algorithm.to_le_bytes());
        }
        let flags = word(fields::FLAGS);
        for flipped in [0, 1, 2, 3, 4, 5, 31] {
            edit(fields::FLAGS, &(flags ^ 1 << flipped).to_le_bytes());
        }
        for mitigations in [fields::LAUNCH_MITIGATIONS, fields::CURRENT_MITIGATIONS] {
            for bit in [0, 1, 2, 3, 63] {
                edit(mitigations, &(long(mitigations) ^ 1 << bit).to_le_bytes());
            }
        }
        // First and last byte of what is compared whole.
        for (offset, len) in [
            (fields::MEASUREMENT, 48),
            (fields::HOST_DATA, 32),
            (fields::FAMILY_ID, 16),
            (fields::IMAGE_ID, 16),
            (fields::ID_KEY_DIGEST, 48),
            (fields::AUTHOR_KEY_DIGEST, 48),
            (fields::REPORT_ID, 32),
            (fields::REPORT_ID_MA, 32),
            (fields::CHIP_ID, 64),
        ] {
            for at in [offset, offset + len - 1] {
                edit(at, &[self.report[at] ^ 1]);
            }
            edit(offset, &vec![0; len]);
        }
        for tcb in [fields::REPORTED_TCB, fields::COMMITTED_TCB, fields::CURRENT_TCB, fields::LAUNCH_TCB] {
            for at in tcb..tcb + 8 {
                edit(at, &[self.report[at].saturating_sub(1)]);
                edit(at, &[self.report[at].saturating_add(1)]);
            }
        }
        for at in fields::RESERVED {
            edit(at, &[1]);
        }
        for scalar in [fields::R, fields::S] {
            edit(scalar, &[0; 48]);
            edit(scalar + 48, &[1]);
            edit(scalar + 71, &[1]);
            // n - 1, n and n + 1: the order ends with ...73, and the bytes above are the same.
            let order = order();
            edit(scalar, &order);
            edit(scalar, &[&ORDER_LESS_ONE[1..], &order[1..]].concat());
            edit(scalar, &[&[0x74], &order[1..]].concat());
        }
        edit(fields::SIGNATURE_RESERVED, &[1]);
        edit(fields::LEN - 1, &[1]);

        let mut questions: Vec<Question> =
            edits.into_iter().map(|edit| Question { edits: vec![edit], ..self.as_it_is() }).collect();
        for now in [-991i64, -990, -11, -10, -9, 9, 10, 11, 49, 50, 51, 89, 90, 91, 109, 110, 111] {
            questions.push(Question { now: NOW.checked_add_signed(now).unwrap(), ..self.as_it_is() });
        }
        for product in PRODUCTS {
            questions.push(Question { product, ..self.as_it_is() });
        }
        for provider in [None, Some(PROVIDER), Some("cloud-b"), Some("cloud-"), Some("cloud-aa")] {
            questions.push(Question { provider, ..self.as_it_is() });
        }
        questions
    }
}

/// Order of P-384, little-endian (SEC 2, section 2.5.1).
fn order() -> Vec<u8> {
    let mut order = hex::decode(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    )
    .unwrap();
    order.reverse();
    order
}
