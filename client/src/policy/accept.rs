//! `[[role.NAME.accept]]`: one way to be accepted. What is not said is the strict choice; what weakens a role
//! (any chip, any TPM) has to be said.

use vouchsafe_protocol::policy::{
    Accept, BitRule, ChipRule, EkRule, HostDataRule, LaunchDigest, PcrRule, Permission, PlatformInfoRules,
    Product, SnpAccept, TpmAccept,
};
use vouchsafe_protocol::policy_check::{AcceptError, check_accept};

use super::definitions::{Definitions, pcr_index};
use super::error::{CompileError, Reason};
use super::reader::{Item, Table};

/// Compiles one rule and checks its typed form.
pub(super) fn compile(mut table: Table<'_>, definitions: &Definitions<'_>) -> Result<Accept, CompileError> {
    let kind = table.required("kind", "\"snp\" or \"tpm\"")?;
    let rule = match kind.text()? {
        "snp" => Accept::Snp(snp(&mut table, definitions)?),
        "tpm" => Accept::Tpm(tpm(&mut table, definitions)?),
        _ => return Err(kind.fail(Reason::Value { expected: "'snp' or 'tpm'" })),
    };
    check_accept(&rule).map_err(|error| table.fail_at(key_of(&error), Reason::Accept(error)))?;
    table.finish()?;
    Ok(rule)
}

fn snp(table: &mut Table<'_>, definitions: &Definitions<'_>) -> Result<SnpAccept, CompileError> {
    let products: Vec<Product> =
        table.required("products", "which AMD products, such as [\"genoa\"]")?.parse_list()?;
    let measurement = table.required("measurement", "{ release = \"NAME\" } or { digests = [\"HEX\"] }")?;
    let floor = table.required("tcb_floor", "the name of a [tcb_floor.NAME]")?;
    let chip = table.required("chip", "{ allow = \"LIST\" }, or a named waiver: \"any-chip\"")?;
    let number = |item: Option<Item<'_>>, default: u32, most: u32| {
        item.map_or(Ok(default), |item| item.number(0, most))
    };
    let vmpl = number(table.optional("vmpl"), 0, 3)?;
    Ok(SnpAccept {
        measurements: measurements(measurement, definitions)?,
        tcb_floors: definitions.floors(floor, &products)?,
        provisional_firmware: table.parse_or("provisional_firmware", Permission::Forbidden)?,
        platform_info: platform_info(table)?,
        vmpl: u8::try_from(vmpl).map_err(|_| table.fail(Reason::Number { least: 0, most: 3 }))?,
        chip: chip_rule(chip, definitions)?,
        debug: table.parse_or("debug", Permission::Forbidden)?,
        min_report_version: number(table.optional("min_report_version"), 3, u32::MAX)?,
        host_data: table.parse_or("host_data", HostDataRule::AnyHostData)?,
        reserved_fields: table.parse_or("reserved_fields", Permission::Forbidden)?,
        products,
    })
}

fn measurements(item: Item<'_>, definitions: &Definitions<'_>) -> Result<Vec<LaunchDigest>, CompileError> {
    let mut table = item.table()?;
    let found = match (table.optional("release"), table.optional("digests")) {
        (Some(name), None) => definitions.measurements(name)?,
        (None, Some(list)) => list.parse_list()?,
        _ => return Err(item.fail(Reason::EitherOr { one: "release", other: "digests" })),
    };
    table.finish()?;
    Ok(found)
}

/// Nothing is asked of most bits; the check for memory aliases (BadRAM) must have been done.
fn platform_info(accept: &mut Table<'_>) -> Result<PlatformInfoRules, CompileError> {
    let unknown_bits = accept.parse_or("unknown_platform_bits", Permission::Forbidden)?;
    let any = BitRule::Any;
    let mut rules = PlatformInfoRules {
        smt: any,
        tsme: any,
        ecc: any,
        rapl_disabled: any,
        ciphertext_hiding: any,
        alias_check_complete: BitRule::Required,
        iommu_write_safe: any,
        tio: any,
        unknown_bits,
    };
    let Some(item) = accept.optional("platform_info") else {
        return Ok(rules);
    };
    let mut bits = item.table()?;
    for (key, rule) in [
        ("smt", &mut rules.smt),
        ("tsme", &mut rules.tsme),
        ("ecc", &mut rules.ecc),
        ("rapl_disabled", &mut rules.rapl_disabled),
        ("ciphertext_hiding", &mut rules.ciphertext_hiding),
        ("alias_check_complete", &mut rules.alias_check_complete),
        ("iommu_write_safe", &mut rules.iommu_write_safe),
        ("tio", &mut rules.tio),
    ] {
        *rule = bits.parse_or(key, *rule)?;
    }
    bits.finish()?;
    Ok(rules)
}

fn chip_rule(item: Item<'_>, definitions: &Definitions<'_>) -> Result<ChipRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "any-chip" => Ok(ChipRule::AnyChip),
            "any-chip-even-masked" => Ok(ChipRule::AnyChipEvenMasked),
            _ => Err(item.fail(Reason::Value {
                expected: "{ allow = \"LIST\" }, or a named waiver: \"any-chip\" or \"any-chip-even-masked\"",
            })),
        };
    }
    let mut table = item.table()?;
    let list = table.required("allow", "the name of a [chips.NAME]")?;
    let chips = definitions.chips(list)?;
    table.finish()?;
    Ok(ChipRule::Allow(chips))
}

fn tpm(table: &mut Table<'_>, definitions: &Definitions<'_>) -> Result<TpmAccept, CompileError> {
    let anchors =
        table.required("anchors", "names of the vault's anchors that its TPM may chain to")?.parse_list()?;
    let pcrs = table.required("pcrs", "the exact PCRs, such as { 11 = { release = \"NAME\" } }")?;
    let mut rules = Vec::new();
    for entry in pcrs.table()?.entries() {
        rules.push(pcr_rule(pcr_index(&entry)?, entry.item, definitions)?);
    }
    rules.sort_by_key(|rule| rule.index);
    let ek = table.required("ek", "{ allow = [\"HEX\"] }, or the named waiver \"any-tpm\"")?;
    Ok(TpmAccept { anchors, pcrs: rules, ek: ek_rule(ek)? })
}

fn pcr_rule(index: u8, item: Item<'_>, definitions: &Definitions<'_>) -> Result<PcrRule, CompileError> {
    let mut table = item.table()?;
    let values = match (table.optional("release"), table.optional("values")) {
        (Some(name), None) => definitions.pcr(name, index)?,
        (None, Some(list)) => list.parse_list()?,
        _ => return Err(item.fail(Reason::EitherOr { one: "release", other: "values" })),
    };
    let all_zero = table.parse_or("all_zero", Permission::Forbidden)?;
    table.finish()?;
    Ok(PcrRule { index, values, all_zero })
}

fn ek_rule(item: Item<'_>) -> Result<EkRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "any-tpm" => Ok(EkRule::AnyTpm),
            _ => Err(item.fail(Reason::Value {
                expected: "{ allow = [\"HEX\"] } with SHA-256 digests of EK keys, or the named waiver \"any-tpm\"",
            })),
        };
    }
    let mut table = item.table()?;
    let keys = table.required("allow", "a list of SHA-256 digests of EK keys")?.parse_list()?;
    table.finish()?;
    Ok(EkRule::Allow(keys))
}

/// The key that what is wrong was written under.
fn key_of(error: &AcceptError) -> &'static str {
    match error {
        AcceptError::NoProduct | AcceptError::RepeatedProduct => "products",
        AcceptError::NoMeasurement | AcceptError::TooManyValues { .. } => "measurement",
        AcceptError::FloorMissing { .. }
        | AcceptError::FloorWithoutProduct { .. }
        | AcceptError::FmcWithoutTurin { .. } => "tcb_floor",
        AcceptError::Vmpl { .. } => "vmpl",
        AcceptError::ReportVersion { .. } => "min_report_version",
        AcceptError::NoChip | AcceptError::MaskedChip => "chip",
        AcceptError::NoAnchor | AcceptError::RepeatedAnchor => "anchors",
        AcceptError::NoPcr
        | AcceptError::PcrIndex { .. }
        | AcceptError::ResettablePcr { .. }
        | AcceptError::DrtmPcr { .. }
        | AcceptError::PcrOrder { .. }
        | AcceptError::NoPcrValue { .. }
        | AcceptError::AllZeroPcr { .. } => "pcrs",
        AcceptError::NoEk => "ek",
    }
}
