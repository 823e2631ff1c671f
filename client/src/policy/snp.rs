//! The keys of an accept rule for an SNP report.

use vouchsafe_protocol::policy::{
    AuthorKeyRule, ChipRule, CspName, GuestPolicyRules, IdBlockRule, LaunchDigest, MitigationRule,
    PlatformInfoRules, Product, ReferenceValue, RevocationRule, SnpAccept,
};

use super::definitions::Definitions;
use super::error::{CompileError, Reason};
use super::reader::{Item, Table};

const CHIP: &str = "{ allow = \"LIST\" }, { providers = [\"NAME\"] }, or a named waiver: \"any-chip\" or \"any-chip-even-masked\"";
const REVOCATION: &str = "{ max_age = \"90d\" }, or the named waiver \"unchecked\"";
const FLOOR: &str = "the name of a [tcb_floor.NAME], or { reported = \"NAME\", committed = \"NAME\", \
                     launch = \"NAME\", current = \"NAME\" }";

/// Reads the keys of `kind = "snp"`, which `snp-vtpm` has, too. What is not said is as in [`SnpAccept::strict`].
pub(super) fn snp<'a>(
    table: &mut Table<'a>,
    definitions: &Definitions<'a>,
) -> Result<SnpAccept, CompileError> {
    let products: Vec<Product> =
        table.required("products", "which AMD products, such as [\"genoa\"]")?.parse_list()?;
    let measurement = table.required("measurement", "{ release = \"NAME\" } or { digests = [\"HEX\"] }")?;
    let floor = table.required("tcb_floor", FLOOR)?;
    let grace = table.optional("tcb_floor_grace");
    let chip = chip_rule(table.required("chip", CHIP)?, definitions)?;
    let revocation = revocation(table.required("revocation", REVOCATION)?)?;
    let measurements = measurements(measurement, definitions)?;
    let floors = definitions.floors(floor, grace, &products)?;
    let strict = SnpAccept::strict(products, measurements, floors, chip, revocation);
    let number = |item: Option<Item<'_>>, default: u32, most: u32| {
        item.map_or(Ok(default), |item| item.number(0, most))
    };
    let vmpl = number(table.optional("vmpl"), u32::from(strict.vmpl), 3)?;
    Ok(SnpAccept {
        provisional_firmware: table.parse_or("provisional_firmware", strict.provisional_firmware)?,
        guest_policy: guest_policy(table.optional("guest_policy"), strict.guest_policy)?,
        platform_info: platform_info(table, strict.platform_info)?,
        mitigations: mitigations(table.optional("mitigations"), strict.mitigations)?,
        vmpl: u8::try_from(vmpl).map_err(|_| table.fail(Reason::Number { least: 0, most: 3 }))?,
        min_report_version: number(
            table.optional("min_report_version"),
            strict.min_report_version,
            u32::MAX,
        )?,
        host_data: table.parse_or("host_data", strict.host_data)?,
        id_block: id_block(table.optional("id_block"))?,
        family_id: table.parse_or("family_id", strict.family_id)?,
        image_id: table.parse_or("image_id", strict.image_id)?,
        min_guest_svn: number(table.optional("min_guest_svn"), strict.min_guest_svn, u32::MAX)?,
        report_id: table.parse_or("report_id", strict.report_id)?,
        migration_agent: table.parse_or("migration_agent", strict.migration_agent)?,
        reserved_fields: table.parse_or("reserved_fields", strict.reserved_fields)?,
        ..strict
    })
}

fn measurements<'a>(
    item: Item<'a>,
    definitions: &Definitions<'a>,
) -> Result<Vec<ReferenceValue<LaunchDigest>>, CompileError> {
    let mut table = item.table()?;
    let found = match (table.optional("release"), table.optional("digests")) {
        (Some(names), None) => definitions.measurements(names)?,
        (None, Some(list)) => list.parse_list()?.into_iter().map(ReferenceValue::lasting).collect(),
        _ => return Err(item.fail(Reason::EitherOr { one: "release", other: "digests" })),
    };
    table.finish()?;
    Ok(found)
}

/// Nothing is asked of most bits; the check for memory aliases (BadRAM) must have been done.
fn platform_info(
    accept: &mut Table<'_>,
    strict: PlatformInfoRules,
) -> Result<PlatformInfoRules, CompileError> {
    let unknown_bits = accept.parse_or("unknown_platform_bits", strict.unknown_bits)?;
    let mut rules = PlatformInfoRules { unknown_bits, ..strict };
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

fn guest_policy(item: Option<Item<'_>>, strict: GuestPolicyRules) -> Result<GuestPolicyRules, CompileError> {
    let mut rules = strict;
    let Some(item) = item else {
        return Ok(rules);
    };
    let mut bits = item.table()?;
    rules.min_abi = bits.parse_or("min_abi", rules.min_abi)?;
    for (key, rule) in [
        ("smt", &mut rules.smt),
        ("migrate_ma", &mut rules.migrate_ma),
        ("debug", &mut rules.debug),
        ("single_socket", &mut rules.single_socket),
        ("cxl_allowed", &mut rules.cxl_allowed),
        ("mem_aes_256_xts", &mut rules.mem_aes_256_xts),
        ("rapl_disabled", &mut rules.rapl_disabled),
        ("ciphertext_hiding", &mut rules.ciphertext_hiding),
        ("page_swap_disabled", &mut rules.page_swap_disabled),
    ] {
        *rule = bits.parse_or(key, *rule)?;
    }
    bits.finish()?;
    Ok(rules)
}

fn mitigations(item: Option<Item<'_>>, strict: MitigationRule) -> Result<MitigationRule, CompileError> {
    let Some(item) = item else {
        return Ok(strict);
    };
    let mut vectors = item.table()?;
    let mut mask = |key, default| vectors.optional(key).map_or(Ok(default), |item| item.bits());
    let rule =
        MitigationRule { launch: mask("launch", strict.launch)?, current: mask("current", strict.current)? };
    vectors.finish()?;
    Ok(rule)
}

fn chip_rule<'a>(item: Item<'a>, definitions: &Definitions<'a>) -> Result<ChipRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "any-chip" => Ok(ChipRule::AnyChip),
            "any-chip-even-masked" => Ok(ChipRule::AnyChipEvenMasked),
            _ => Err(item.fail(Reason::Value { expected: CHIP })),
        };
    }
    let mut table = item.table()?;
    let rule = match (table.optional("allow"), table.optional("providers")) {
        (Some(list), None) => ChipRule::Allow(definitions.chips(list)?),
        (None, Some(names)) => {
            let name = |item: &Item<'_>| Ok(CspName(item.text()?.to_owned()));
            ChipRule::Providers(names.list()?.iter().map(name).collect::<Result<_, _>>()?)
        }
        _ => return Err(item.fail(Reason::EitherOr { one: "allow", other: "providers" })),
    };
    table.finish()?;
    Ok(rule)
}

fn revocation(item: Item<'_>) -> Result<RevocationRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "unchecked" => Ok(RevocationRule::Unchecked),
            _ => Err(item.fail(Reason::Value { expected: REVOCATION })),
        };
    }
    let mut table = item.table()?;
    let age = table.required("max_age", "how old a revocation list may be, such as \"90d\"")?;
    let max_age_secs = age.duration()?;
    table.finish()?;
    Ok(RevocationRule::Checked { max_age_secs })
}

fn id_block(item: Option<Item<'_>>) -> Result<IdBlockRule, CompileError> {
    let Some(item) = item else {
        return Ok(IdBlockRule::AnyIdBlock);
    };
    if item.is_text() {
        return match item.text()? {
            "any-id-block" => Ok(IdBlockRule::AnyIdBlock),
            _ => Err(item.fail(Reason::Value {
                expected: "{ id_keys = [\"HEX\"], author_keys = [\"HEX\"] }, or the waiver \"any-id-block\"",
            })),
        };
    }
    let mut table = item.table()?;
    let id_keys = table.required("id_keys", "SHA-384 digests of ID keys (ID_KEY_DIGEST)")?.parse_list()?;
    let author = match table.optional("author_keys") {
        None => AuthorKeyRule::AnyAuthor,
        Some(keys) => AuthorKeyRule::OneOf(keys.parse_list()?),
    };
    table.finish()?;
    Ok(IdBlockRule::SignedBy { id_keys, author })
}
