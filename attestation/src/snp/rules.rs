//! Rules for the claims of a report. One function per rule, each pure and cheap; [`check`] applies what a
//! role says. Called before anything is verified, so that what policy refuses costs no signature.

use vouchsafe_protocol::policy::{
    BitRule, ChipRule, HostDataRule, Permission, PlatformInfoRules, Product, SnpAccept, Tcb, TcbFloor,
};

use super::report::{Report, SigningKey};
use super::tcb::{Component, first_below};

/// POLICY bit 17: reserved, must be one (AMD 56860, table 10).
const POLICY_MUST_BE_ONE: u64 = 1 << 17;
/// POLICY bit 18: a migration agent may export the guest.
const POLICY_MIGRATE_MA: u64 = 1 << 18;
/// POLICY bit 19: the host may debug the guest.
const POLICY_DEBUG: u64 = 1 << 19;
/// POLICY bits 63 to 26: reserved, zero.
const POLICY_RESERVED: u64 = !0 << 26;
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
    /// HOST_DATA is another.
    #[error("host data is not the expected one")]
    HostData,
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
    /// The guest may be debugged.
    #[error("guest may be debugged by its host")]
    Debug,
    /// The guest may be migrated by an agent.
    #[error("guest may be exported by a migration agent")]
    MigrationAgent,
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
    /// The report names no chip and the rule asks for one.
    #[error("chip id is masked")]
    ChipMasked,
    /// A VLEK names no chip and the rule asks for one.
    #[error("report is endorsed by a VLEK, which names no chip")]
    Vlek,
    /// The chip is not on the list.
    #[error("chip is not on the list")]
    ChipNotListed,
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
    /// LAUNCH_TCB.
    Launch,
    /// REPORTED_TCB.
    Reported,
}

impl SnpRuleError {
    /// The step of [`check`] at which this fails: of several rules, the one that got furthest says most.
    #[must_use]
    pub fn step(&self) -> u8 {
        match self {
            Self::Product { .. } => 1,
            Self::Measurement => 2,
            Self::HostData => 3,
            Self::Version { .. } => 4,
            Self::Reserved => 5,
            Self::MustBeOne => 6,
            Self::Debug => 7,
            Self::MigrationAgent => 8,
            Self::HostRequested | Self::Vmpl { .. } => 9,
            Self::PlatformInfo { .. } | Self::PlatformInfoUnknown => 10,
            Self::ChipMasked | Self::ChipNotListed | Self::Vlek => 11,
            Self::TcbOrder { .. } => 12,
            Self::Provisional => 13,
            Self::NoFloor { .. } | Self::Floor { .. } => 14,
        }
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Product { .. } => "snp.product",
            Self::Measurement => "snp.measurement",
            Self::HostData => "snp.host-data",
            Self::Version { .. } => "snp.report-version",
            Self::Reserved => "snp.reserved",
            Self::MustBeOne => "snp.policy.must-be-one",
            Self::Debug => "snp.policy.debug",
            Self::MigrationAgent => "snp.policy.migration-agent",
            Self::HostRequested => "snp.vmpl.host",
            Self::Vmpl { .. } => "snp.vmpl",
            Self::PlatformInfo { .. } => "snp.platform-info",
            Self::PlatformInfoUnknown => "snp.platform-info.unknown",
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

/// Applies every rule of a role to the claims of a report of `product`.
///
/// # Errors
/// [`SnpRuleError`], the first that fails in the order of its variants.
pub fn check(report: &Report, product: Product, accept: &SnpAccept) -> Result<(), SnpRuleError> {
    let SnpAccept {
        products,
        measurements,
        tcb_floors,
        provisional_firmware,
        platform_info,
        vmpl,
        chip,
        debug,
        min_report_version,
        host_data,
        reserved_fields,
    } = accept;
    if !products.contains(&product) {
        return Err(SnpRuleError::Product { product });
    }
    if !measurements.contains(&report.measurement) {
        return Err(SnpRuleError::Measurement);
    }
    if matches!(host_data, HostDataRule::Exactly(expected) if *expected != report.host_data) {
        return Err(SnpRuleError::HostData);
    }
    check_version(report, *min_report_version)?;
    check_reserved(report, product, *reserved_fields)?;
    check_guest_policy(report, *debug)?;
    check_vmpl(report, *vmpl)?;
    check_platform_info(report.platform_info, platform_info)?;
    check_chip(report, chip)?;
    check_tcb_order(report, product)?;
    if *provisional_firmware == Permission::Forbidden && report.current_tcb != report.committed_tcb {
        return Err(SnpRuleError::Provisional);
    }
    check_floors(report, product, tcb_floors)
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

/// POLICY: bit 17 one, no migration agent, debugging only if allowed by name.
///
/// # Errors
/// [`SnpRuleError::MustBeOne`], [`SnpRuleError::Debug`], [`SnpRuleError::MigrationAgent`].
pub fn check_guest_policy(report: &Report, debug: Permission) -> Result<(), SnpRuleError> {
    if report.policy & POLICY_MUST_BE_ONE == 0 {
        return Err(SnpRuleError::MustBeOne);
    }
    if report.policy & POLICY_DEBUG != 0 && debug == Permission::Forbidden {
        return Err(SnpRuleError::Debug);
    }
    if report.policy & POLICY_MIGRATE_MA != 0 {
        return Err(SnpRuleError::MigrationAgent);
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
        let holds = match rule {
            BitRule::Any => true,
            BitRule::Forbidden => !set,
            BitRule::Required => set,
        };
        if !holds {
            return Err(SnpRuleError::PlatformInfo { bit });
        }
    }
    if value >> known.len() != 0 && *unknown_bits == Permission::Forbidden {
        return Err(SnpRuleError::PlatformInfoUnknown);
    }
    Ok(())
}

/// The chip, which a VLEK and a masked id do not name.
fn check_chip(report: &Report, rule: &ChipRule) -> Result<(), SnpRuleError> {
    let masked = report.chip_id.0.iter().all(|byte| *byte == 0);
    match rule {
        ChipRule::AnyChipEvenMasked => Ok(()),
        ChipRule::Allow(_) | ChipRule::AnyChip if report.signing_key == SigningKey::Vlek => {
            Err(SnpRuleError::Vlek)
        }
        ChipRule::Allow(_) | ChipRule::AnyChip if masked => Err(SnpRuleError::ChipMasked),
        ChipRule::Allow(chips) if !chips.contains(&report.chip_id) => Err(SnpRuleError::ChipNotListed),
        ChipRule::Allow(_) | ChipRule::AnyChip => Ok(()),
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

/// REPORTED, COMMITTED and LAUNCH at or above the floor of the product, component by component.
fn check_floors(report: &Report, product: Product, floors: &[TcbFloor]) -> Result<(), SnpRuleError> {
    let floor =
        floors.iter().find(|floor| floor.product == product).ok_or(SnpRuleError::NoFloor { product })?.tcb;
    check_floor(report.reported_tcb.components(product), floor, WhichTcb::Reported)?;
    check_floor(report.committed_tcb.components(product), floor, WhichTcb::Committed)?;
    check_floor(report.launch_tcb.components(product), floor, WhichTcb::Launch)
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
