//! Rules for the claims of a report. One function per rule, each pure and cheap; [`check`] applies what a
//! role says. Called before anything is verified, so that what policy refuses costs no signature.

use vouchsafe_protocol::policy::{
    AbiVersion, AuthorKeyRule, ChipRule, GuestPolicyRules, HostDataRule, IdBlockRule, IdRule, LaunchDigest,
    MigrationAgentRule, MitigationRule, Permission, PlatformInfoRules, Product, ReportIdRule, SnpAccept, Tcb,
    TcbFloor, TcbFloors, TcbGrace, Validity,
};

use super::report::{Report, SigningKey};
use super::tcb::{Component, first_below};

/// POLICY bit 17: reserved, must be one (AMD 56860, table 10).
const POLICY_MUST_BE_ONE: u64 = 1 << 17;
/// POLICY bits 63 to 26: reserved, zero.
const POLICY_RESERVED: u64 = !0 << 26;
/// REPORT_ID_MA of a guest without a migration agent.
const NO_MIGRATION_AGENT: [u8; 32] = [0xff; 32];
/// VMPL in a report that the host asked for.
const VMPL_HOST: u32 = u32::MAX;

/// The rule that a report broke. Ordered by step of [`check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnpRuleError {
    /// The product is not accepted.
    #[error("product {product:?} is not accepted")]
    Product {
        /// Product of the report.
        product: Product,
    },
    /// MEASUREMENT is none of the accepted ones.
    #[error("launch measurement is not accepted")]
    Measurement,
    /// MEASUREMENT is one that was accepted and has expired.
    #[error("launch measurement has expired")]
    MeasurementExpired,
    /// HOST_DATA is another.
    #[error("host data is not the expected one")]
    HostData,
    /// FAMILY_ID is another.
    #[error("family id is not the expected one")]
    FamilyId,
    /// IMAGE_ID is another.
    #[error("image id is not the expected one")]
    ImageId,
    /// GUEST_SVN is too low.
    #[error("guest security version {svn} is below {least}")]
    GuestSvn {
        /// Of the report.
        svn: u32,
        /// Lowest accepted.
        least: u32,
    },
    /// The ID block is signed by no accepted key, or there is none.
    #[error("ID block is not signed by an accepted key")]
    IdKey,
    /// The ID key is vouched for by no accepted author key, or by none.
    #[error("ID key is not signed by an accepted author key")]
    AuthorKey,
    /// REPORT_ID is another.
    #[error("report is of another guest")]
    ReportId,
    /// REPORT_ID_MA is another, or there is an agent where none is accepted.
    #[error("guest is associated with another migration agent than accepted")]
    ReportIdMa,
    /// The report version is too old.
    #[error("report version {version} is older than {least}")]
    Version {
        /// Version of the report.
        version: u32,
        /// Oldest accepted.
        least: u32,
    },
    /// A reserved field is not zero.
    #[error("a reserved field of the report is not zero")]
    Reserved,
    /// POLICY bit 17 is clear.
    #[error("reserved bit 17 of the guest policy is not one")]
    MustBeOne,
    /// The guest asks for an older ABI of the firmware than the rule.
    #[error("guest policy asks for an older ABI than {}.{}", least.major, least.minor)]
    Abi {
        /// Lowest accepted.
        least: AbiVersion,
    },
    /// The guest may be debugged, or may not be where the rule asks for it.
    #[error("guest may be debugged by its host")]
    Debug,
    /// The guest may be migrated by an agent, or may not be where the rule asks for it.
    #[error("guest may be exported by a migration agent")]
    MigrationAgent,
    /// Another bit of POLICY is not as the rule says.
    #[error("guest policy bit {bit} is not as required")]
    GuestPolicy {
        /// Bit number.
        bit: u8,
    },
    /// The host asked for the report, not the guest.
    #[error("report was requested by the host")]
    HostRequested,
    /// Another privilege level asked for the report.
    #[error("report is from VMPL {vmpl} instead of {expected}")]
    Vmpl {
        /// VMPL of the report.
        vmpl: u32,
        /// Of the rule.
        expected: u8,
    },
    /// A bit of PLATFORM_INFO is not as the rule says.
    #[error("platform info bit {bit} is not as required")]
    PlatformInfo {
        /// Bit number.
        bit: u8,
    },
    /// PLATFORM_INFO has bits that this version does not know.
    #[error("platform info has unknown bits")]
    PlatformInfoUnknown,
    /// The report has no mitigation vectors (before version 5), and the rule asks for mitigations.
    #[error("report shows no mitigation vectors")]
    NoMitigations,
    /// A mitigation that the rule asks for is not in force.
    #[error("a required mitigation is not in force ({which:?})")]
    Mitigations {
        /// Which vector.
        which: WhichVector,
    },
    /// The report names no chip and the rule asks for one.
    #[error("chip id is masked")]
    ChipMasked,
    /// A VLEK names no chip and the rule asks for one.
    #[error("report is endorsed by a VLEK, which names no chip")]
    Vlek,
    /// The chip is not on the list.
    #[error("chip is not on the list")]
    ChipNotListed,
    /// A VCEK names no cloud provider and the rule asks for one.
    #[error("report is endorsed by a VCEK, which names no provider")]
    NoProvider,
    /// The VLEK is another cloud provider's.
    #[error("VLEK is of a provider that is not accepted")]
    Provider,
    /// REPORTED_TCB is above COMMITTED_TCB, or that above CURRENT_TCB, in some component.
    #[error("security versions of the report contradict each other")]
    TcbOrder {
        /// Component.
        component: Component,
    },
    /// CURRENT_TCB is ahead of COMMITTED_TCB: the firmware can still be rolled back.
    #[error("firmware is provisional")]
    Provisional,
    /// No floor is given for the product.
    #[error("there is no TCB floor for {product:?}")]
    NoFloor {
        /// Product.
        product: Product,
    },
    /// A TCB is below the floor.
    #[error("{which:?} TCB is below the floor in {component:?}")]
    Floor {
        /// Which TCB.
        which: WhichTcb,
        /// Component.
        component: Component,
    },
}

/// The TCBs of a report that a floor applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichTcb {
    /// COMMITTED_TCB.
    Committed,
    /// CURRENT_TCB.
    Current,
    /// LAUNCH_TCB.
    Launch,
    /// REPORTED_TCB.
    Reported,
}

/// The mitigation vectors of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichVector {
    /// CURRENT_MIT_VECTOR.
    Current,
    /// LAUNCH_MIT_VECTOR.
    Launch,
}

impl SnpRuleError {
    /// The step of [`check`] at which this fails: of several rules, the one that got furthest says most.
    #[must_use]
    pub fn step(&self) -> u8 {
        match self {
            Self::Product { .. } => 1,
            Self::Measurement => 2,
            Self::MeasurementExpired => 3,
            Self::HostData => 4,
            Self::FamilyId | Self::ImageId | Self::GuestSvn { .. } => 5,
            Self::IdKey | Self::AuthorKey => 6,
            Self::ReportId => 7,
            Self::ReportIdMa => 8,
            Self::Version { .. } => 9,
            Self::Reserved => 10,
            Self::MustBeOne => 11,
            Self::Abi { .. } | Self::Debug | Self::GuestPolicy { .. } | Self::MigrationAgent => 12,
            Self::HostRequested | Self::Vmpl { .. } => 13,
            Self::PlatformInfo { .. } | Self::PlatformInfoUnknown => 14,
            Self::NoMitigations | Self::Mitigations { .. } => 15,
            Self::ChipMasked | Self::ChipNotListed | Self::NoProvider | Self::Provider | Self::Vlek => 16,
            Self::TcbOrder { .. } => 17,
            Self::Provisional => 18,
            Self::NoFloor { .. } | Self::Floor { .. } => 19,
        }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Product { .. } => "snp.product",
            Self::Measurement => "snp.measurement",
            Self::MeasurementExpired => "snp.measurement.expired",
            Self::HostData => "snp.host-data",
            Self::FamilyId => "snp.family-id",
            Self::ImageId => "snp.image-id",
            Self::GuestSvn { .. } => "snp.guest-svn",
            Self::IdKey => "snp.id-block.id-key",
            Self::AuthorKey => "snp.id-block.author-key",
            Self::ReportId => "snp.report-id",
            Self::ReportIdMa => "snp.report-id-ma",
            Self::Version { .. } => "snp.report-version",
            Self::Reserved => "snp.reserved",
            Self::MustBeOne => "snp.policy.must-be-one",
            Self::Abi { .. } => "snp.policy.abi",
            Self::GuestPolicy { .. } => "snp.policy.bit",
            Self::Debug => "snp.policy.debug",
            Self::MigrationAgent => "snp.policy.migration-agent",
            Self::HostRequested => "snp.vmpl.host",
            Self::Vmpl { .. } => "snp.vmpl",
            Self::PlatformInfo { .. } => "snp.platform-info",
            Self::PlatformInfoUnknown => "snp.platform-info.unknown",
            Self::NoMitigations => "snp.mitigations.none",
            Self::Mitigations { .. } => "snp.mitigations",
            Self::NoProvider => "snp.chip.no-provider",
            Self::Provider => "snp.chip.provider",
            Self::ChipMasked => "snp.chip.masked",
            Self::Vlek => "snp.chip.vlek",
            Self::ChipNotListed => "snp.chip.not-listed",
            Self::TcbOrder { .. } => "snp.tcb.order",
            Self::Provisional => "snp.tcb.provisional",
            Self::NoFloor { .. } => "snp.tcb.no-floor",
            Self::Floor { .. } => "snp.tcb.floor",
        }
    }
}

/// What a report says beside its endorsement, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The report.
    pub report: &'a Report,
    /// Product of its certificate.
    pub product: Product,
    /// Cloud provider that its certificate names, if it is a VLEK's.
    pub provider: Option<&'a str>,
}

/// A thing that was accepted and will not be for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// The launch digest or a PCR value is past its expiry and inside its grace.
    ReferenceValue,
    /// A TCB is below the floor and at the grace floor.
    TcbFloor,
}

/// Applies every rule of a role to the claims of a report, at `now` in seconds since 1970. Returns what was
/// accepted for the sake of a rollout.
///
/// Steps: 1. product; 2. launch digest, 3. not expired; 4. host data; 5. family id, image id, guest SVN; 6. who
/// signed the ID block; 7. report id; 8. migration agent; 9. report version; 10. reserved fields; 11. POLICY bit
/// 17, 12. its other bits; 13. VMPL; 14. PLATFORM_INFO; 15. mitigation vectors; 16. chip or provider; 17. order of
/// the TCBs; 18. provisional firmware; 19. floors.
///
/// # Errors
/// [`SnpRuleError`], the first that fails in the order of the steps.
pub fn check(claimed: Claimed<'_>, accept: &SnpAccept, now: u64) -> Result<Vec<Warning>, SnpRuleError> {
    let Claimed { report, product, provider } = claimed;
    let SnpAccept {
        products,
        measurements,
        tcb_floors,
        provisional_firmware,
        guest_policy,
        platform_info,
        mitigations,
        vmpl,
        chip,
        revocation: _, // of the chain, not of the report
        min_report_version,
        host_data,
        id_block,
        family_id,
        image_id,
        min_guest_svn,
        report_id,
        migration_agent,
        reserved_fields,
    } = accept;
    let mut warnings = Vec::new();
    // Step 1.
    if !products.contains(&product) {
        return Err(SnpRuleError::Product { product });
    }
    // Steps 2 and 3.
    let matching = measurements.iter().filter(|accepted| accepted.value == report.measurement);
    match matching.map(|accepted| accepted.expiry.at(now)).max() {
        None => return Err(SnpRuleError::Measurement),
        Some(Validity::Expired) => return Err(SnpRuleError::MeasurementExpired),
        Some(Validity::Grace) => warnings.push(Warning::ReferenceValue),
        Some(Validity::Valid) => {}
    }
    // Step 4.
    if matches!(host_data, HostDataRule::Exactly(expected) if *expected != report.host_data) {
        return Err(SnpRuleError::HostData);
    }
    // Step 5.
    if matches!(family_id, IdRule::Exactly(expected) if *expected != report.family_id) {
        return Err(SnpRuleError::FamilyId);
    }
    if matches!(image_id, IdRule::Exactly(expected) if *expected != report.image_id) {
        return Err(SnpRuleError::ImageId);
    }
    if report.guest_svn < *min_guest_svn {
        return Err(SnpRuleError::GuestSvn { svn: report.guest_svn, least: *min_guest_svn });
    }
    // Step 6.
    check_id_block(report, id_block)?;
    // Step 7.
    if matches!(report_id, ReportIdRule::Exactly(expected) if *expected != report.report_id) {
        return Err(SnpRuleError::ReportId);
    }
    // Step 8.
    let agent_accepted = match migration_agent {
        MigrationAgentRule::AnyMigrationAgent => true,
        MigrationAgentRule::Exactly(expected) => *expected == report.report_id_ma,
        MigrationAgentRule::NoMigrationAgent => report.report_id_ma == NO_MIGRATION_AGENT,
    };
    if !agent_accepted {
        return Err(SnpRuleError::ReportIdMa);
    }
    // Steps 9 to 18.
    check_version(report, *min_report_version)?;
    check_reserved(report, product, *reserved_fields)?;
    check_guest_policy(report, guest_policy)?;
    check_vmpl(report, *vmpl)?;
    check_platform_info(report.platform_info, platform_info)?;
    check_mitigations(report, *mitigations)?;
    check_chip(report, provider, chip)?;
    check_tcb_order(report, product)?;
    if *provisional_firmware == Permission::Forbidden && report.current_tcb != report.committed_tcb {
        return Err(SnpRuleError::Provisional);
    }
    // Step 19.
    if check_floors(report, product, tcb_floors, now)? == Validity::Grace {
        warnings.push(Warning::TcbFloor);
    }
    Ok(warnings)
}

/// The report is at least as new as `least` (version 2 has no CPUID).
///
/// # Errors
/// [`SnpRuleError::Version`].
pub fn check_version(report: &Report, least: u32) -> Result<(), SnpRuleError> {
    let version = report.version;
    if version < least { Err(SnpRuleError::Version { version, least }) } else { Ok(()) }
}

/// Reserved fields, reserved policy bits and reserved bytes of each TCB are zero, unless allowed by name.
///
/// # Errors
/// [`SnpRuleError::Reserved`].
pub fn check_reserved(report: &Report, product: Product, allowed: Permission) -> Result<(), SnpRuleError> {
    let tcbs = [report.reported_tcb, report.committed_tcb, report.current_tcb, report.launch_tcb];
    let zero = report.reserved_is_zero
        && report.policy & POLICY_RESERVED == 0
        && tcbs.iter().all(|tcb| tcb.reserved_is_zero(product));
    if zero || allowed == Permission::Allowed { Ok(()) } else { Err(SnpRuleError::Reserved) }
}

/// POLICY: bit 17 is one, the ABI is new enough, each other bit is as its rule says.
///
/// # Errors
/// [`SnpRuleError::MustBeOne`], [`SnpRuleError::Abi`], [`SnpRuleError::Debug`], [`SnpRuleError::MigrationAgent`],
/// [`SnpRuleError::GuestPolicy`].
pub fn check_guest_policy(report: &Report, rules: &GuestPolicyRules) -> Result<(), SnpRuleError> {
    let GuestPolicyRules {
        min_abi,
        smt,
        migrate_ma,
        debug,
        single_socket,
        cxl_allowed,
        mem_aes_256_xts,
        rapl_disabled,
        ciphertext_hiding,
        page_swap_disabled,
    } = rules;
    let policy = report.policy;
    if policy & POLICY_MUST_BE_ONE == 0 {
        return Err(SnpRuleError::MustBeOne);
    }
    let [minor, major, ..] = policy.to_le_bytes();
    if (AbiVersion { major, minor }) < *min_abi {
        return Err(SnpRuleError::Abi { least: *min_abi });
    }
    if !debug.holds(policy >> 19 & 1 == 1) {
        return Err(SnpRuleError::Debug);
    }
    if !migrate_ma.holds(policy >> 18 & 1 == 1) {
        return Err(SnpRuleError::MigrationAgent);
    }
    let others = [
        (16, smt),
        (20, single_socket),
        (21, cxl_allowed),
        (22, mem_aes_256_xts),
        (23, rapl_disabled),
        (24, ciphertext_hiding),
        (25, page_swap_disabled),
    ];
    match others.into_iter().find(|(bit, rule)| !rule.holds(policy >> *bit & 1 == 1)) {
        Some((bit, _)) => Err(SnpRuleError::GuestPolicy { bit }),
        None => Ok(()),
    }
}

/// Who signed the ID block that the guest was launched with, and who vouches for that key.
fn check_id_block(report: &Report, rule: &IdBlockRule) -> Result<(), SnpRuleError> {
    let IdBlockRule::SignedBy { id_keys, author } = rule else {
        return Ok(());
    };
    if !id_keys.contains(&LaunchDigest(report.id_key_digest)) {
        return Err(SnpRuleError::IdKey);
    }
    match author {
        AuthorKeyRule::AnyAuthor => Ok(()),
        AuthorKeyRule::OneOf(keys)
            if report.author_key_enabled && keys.contains(&LaunchDigest(report.author_key_digest)) =>
        {
            Ok(())
        }
        AuthorKeyRule::OneOf(_) => Err(SnpRuleError::AuthorKey),
    }
}

/// Every mitigation of the masks is in force.
fn check_mitigations(report: &Report, rule: MitigationRule) -> Result<(), SnpRuleError> {
    let MitigationRule { launch, current } = rule;
    if launch | current == 0 {
        return Ok(());
    }
    let shown = report.mitigations.ok_or(SnpRuleError::NoMitigations)?;
    if shown.launch & launch != launch {
        return Err(SnpRuleError::Mitigations { which: WhichVector::Launch });
    }
    if shown.current & current != current {
        return Err(SnpRuleError::Mitigations { which: WhichVector::Current });
    }
    Ok(())
}

/// The guest asked, at exactly this privilege level.
///
/// # Errors
/// [`SnpRuleError::HostRequested`], [`SnpRuleError::Vmpl`].
pub fn check_vmpl(report: &Report, expected: u8) -> Result<(), SnpRuleError> {
    if report.vmpl == VMPL_HOST {
        return Err(SnpRuleError::HostRequested);
    }
    if report.vmpl != u32::from(expected) {
        return Err(SnpRuleError::Vmpl { vmpl: report.vmpl, expected });
    }
    Ok(())
}

/// PLATFORM_INFO, bit by bit.
fn check_platform_info(value: u64, rules: &PlatformInfoRules) -> Result<(), SnpRuleError> {
    let PlatformInfoRules {
        smt,
        tsme,
        ecc,
        rapl_disabled,
        ciphertext_hiding,
        alias_check_complete,
        iommu_write_safe,
        tio,
        unknown_bits,
    } = rules;
    let known =
        [smt, tsme, ecc, rapl_disabled, ciphertext_hiding, alias_check_complete, iommu_write_safe, tio];
    for (bit, rule) in (0u8..).zip(known) {
        let set = value >> bit & 1 == 1;
        if !rule.holds(set) {
            return Err(SnpRuleError::PlatformInfo { bit });
        }
    }
    if value >> known.len() != 0 && *unknown_bits == Permission::Forbidden {
        return Err(SnpRuleError::PlatformInfoUnknown);
    }
    Ok(())
}

/// The chip, which a VLEK and a masked id do not name; or the provider, which only a VLEK names.
fn check_chip(report: &Report, provider: Option<&str>, rule: &ChipRule) -> Result<(), SnpRuleError> {
    let masked = report.chip_id.0.iter().all(|byte| *byte == 0);
    let vlek = report.signing_key == SigningKey::Vlek;
    match rule {
        ChipRule::AnyChipEvenMasked => Ok(()),
        ChipRule::Allow(_) | ChipRule::AnyChip if vlek => Err(SnpRuleError::Vlek),
        ChipRule::Allow(_) | ChipRule::AnyChip if masked => Err(SnpRuleError::ChipMasked),
        ChipRule::Allow(chips) if !chips.contains(&report.chip_id) => Err(SnpRuleError::ChipNotListed),
        ChipRule::Allow(_) | ChipRule::AnyChip => Ok(()),
        ChipRule::Providers(names) => {
            let provider = provider.ok_or(SnpRuleError::NoProvider)?;
            let listed = names.iter().any(|name| name.0 == provider);
            if listed { Ok(()) } else { Err(SnpRuleError::Provider) }
        }
    }
}

/// REPORTED ≤ COMMITTED ≤ CURRENT, component by component.
///
/// # Errors
/// [`SnpRuleError::TcbOrder`].
pub fn check_tcb_order(report: &Report, product: Product) -> Result<(), SnpRuleError> {
    let [reported, committed, current] =
        [report.reported_tcb, report.committed_tcb, report.current_tcb].map(|tcb| tcb.components(product));
    match first_below(committed, reported).or_else(|| first_below(current, committed)) {
        Some(component) => Err(SnpRuleError::TcbOrder { component }),
        None => Ok(()),
    }
}

/// Each TCB at or above its floor for the product, component by component; or, for a while, above its grace floor.
fn check_floors(
    report: &Report,
    product: Product,
    floors: &[TcbFloor],
    now: u64,
) -> Result<Validity, SnpRuleError> {
    let floor = floors.iter().find(|floor| floor.product == product);
    let TcbFloor { product: _, floors, grace } = floor.ok_or(SnpRuleError::NoFloor { product })?;
    match (check_each_floor(report, product, floors), grace) {
        (Ok(()), _) => Ok(Validity::Valid),
        (Err(_), TcbGrace::Until { floors, until_unix_secs }) if now < *until_unix_secs => {
            check_each_floor(report, product, floors).map(|()| Validity::Grace)
        }
        (Err(error), _) => Err(error),
    }
}

fn check_each_floor(report: &Report, product: Product, floors: &TcbFloors) -> Result<(), SnpRuleError> {
    let TcbFloors { committed, current, launch, reported } = *floors;
    check_floor(report.reported_tcb.components(product), reported, WhichTcb::Reported)?;
    check_floor(report.committed_tcb.components(product), committed, WhichTcb::Committed)?;
    check_floor(report.launch_tcb.components(product), launch, WhichTcb::Launch)?;
    check_floor(report.current_tcb.components(product), current, WhichTcb::Current)
}

/// One TCB at or above a floor, component by component.
///
/// # Errors
/// [`SnpRuleError::Floor`].
pub fn check_floor(tcb: Tcb, floor: Tcb, which: WhichTcb) -> Result<(), SnpRuleError> {
    match first_below(tcb, floor) {
        Some(component) => Err(SnpRuleError::Floor { which, component }),
        None => Ok(()),
    }
}
