//! Whether rules for an SNP report may load.

use std::collections::BTreeSet;

use crate::limits::{NAME_LEN, REFERENCE_VALUES};
use crate::policy::{
    AuthorKeyRule, ChipRule, CspName, IdBlockRule, MitigationRule, Product, RevocationRule, SnpAccept, Tcb,
    TcbFloor, TcbFloors, TcbGrace,
};

use super::accept::{AcceptError, at_most};

/// Checks rules for an SNP report; the steps are those of the `Snp` variants of [`AcceptError`].
///
/// # Errors
/// [`AcceptError`].
pub fn check_snp(rule: &SnpAccept) -> Result<(), AcceptError> {
    let SnpAccept {
        products,
        measurements,
        tcb_floors,
        provisional_firmware: _, // these accept each of their values: every one is a named choice
        guest_policy: _,
        platform_info: _,
        mitigations,
        vmpl,
        chip,
        revocation,
        min_report_version,
        host_data: _,
        id_block,
        family_id: _,
        image_id: _,
        min_guest_svn: _,
        report_id: _,
        migration_agent: _,
        reserved_fields: _,
    } = rule;
    // 1, 2
    let distinct: BTreeSet<Product> = products.iter().copied().collect();
    if distinct.is_empty() {
        return Err(AcceptError::NoProduct);
    }
    if distinct.len() != products.len() {
        return Err(AcceptError::RepeatedProduct);
    }
    // 3
    if measurements.is_empty() {
        return Err(AcceptError::NoMeasurement);
    }
    at_most(measurements.len(), REFERENCE_VALUES)?;
    // 4
    for product in &distinct {
        if tcb_floors.iter().filter(|floor| floor.product == *product).count() != 1 {
            return Err(AcceptError::FloorMissing { product: *product });
        }
    }
    for floor in tcb_floors {
        let product = floor.product;
        // 5
        if !distinct.contains(&product) {
            return Err(AcceptError::FloorWithoutProduct { product });
        }
        // 6, 16
        check_floor(floor)?;
    }
    // 7
    if *vmpl > 3 {
        return Err(AcceptError::Vmpl { vmpl: *vmpl });
    }
    // 8
    if !(2..=5).contains(min_report_version) {
        return Err(AcceptError::ReportVersion { version: *min_report_version });
    }
    check_chip(chip)?;
    // 12
    if *revocation == (RevocationRule::Checked { max_age_secs: 0 }) {
        return Err(AcceptError::RevocationAge);
    }
    // 13, 14
    check_id_block(id_block)?;
    // 15
    let MitigationRule { launch, current } = mitigations;
    if launch | current != 0 && *min_report_version < 5 {
        return Err(AcceptError::MitigationsWithoutVersion);
    }
    Ok(())
}

/// Steps 6 and 16 of [`check_snp`].
fn check_floor(floor: &TcbFloor) -> Result<(), AcceptError> {
    let TcbFloor { product, floors, grace } = floor;
    let product = *product;
    let each = |floors: &TcbFloors| {
        let TcbFloors { committed, current, launch, reported } = *floors;
        [committed, current, launch, reported]
    };
    let lower = match grace {
        TcbGrace::NoGrace => each(floors),
        TcbGrace::Until { floors, until_unix_secs: _ } => each(floors),
    };
    // 6
    if each(floors).iter().chain(&lower).any(|tcb| tcb.fmc != 0) && product != Product::Turin {
        return Err(AcceptError::FmcWithoutTurin { product });
    }
    // 16
    let below = |lower: Tcb, floor: Tcb| {
        let Tcb { fmc, boot_loader, tee, snp, microcode } = lower;
        fmc <= floor.fmc
            && boot_loader <= floor.boot_loader
            && tee <= floor.tee
            && snp <= floor.snp
            && microcode <= floor.microcode
    };
    if lower.into_iter().zip(each(floors)).all(|(lower, floor)| below(lower, floor)) {
        Ok(())
    } else {
        Err(AcceptError::GraceAboveFloor { product })
    }
}

/// Steps 13 and 14 of [`check_snp`].
fn check_id_block(rule: &IdBlockRule) -> Result<(), AcceptError> {
    let IdBlockRule::SignedBy { id_keys, author } = rule else {
        return Ok(());
    };
    if id_keys.is_empty() {
        return Err(AcceptError::NoIdKey);
    }
    at_most(id_keys.len(), REFERENCE_VALUES)?;
    match author {
        AuthorKeyRule::AnyAuthor => Ok(()),
        AuthorKeyRule::OneOf(keys) if keys.is_empty() => Err(AcceptError::NoAuthorKey),
        AuthorKeyRule::OneOf(keys) => at_most(keys.len(), REFERENCE_VALUES),
    }
}

/// Steps 9 to 11 of [`check_snp`].
fn check_chip(chip: &ChipRule) -> Result<(), AcceptError> {
    match chip {
        ChipRule::Allow(chips) => {
            // 9
            if chips.is_empty() {
                return Err(AcceptError::NoChip);
            }
            at_most(chips.len(), REFERENCE_VALUES)?;
            // 10
            if chips.iter().any(|chip| chip.0 == [0; 64]) {
                return Err(AcceptError::MaskedChip);
            }
            Ok(())
        }
        ChipRule::AnyChip | ChipRule::AnyChipEvenMasked => Ok(()),
        ChipRule::Providers(providers) => {
            at_most(providers.len(), REFERENCE_VALUES)?;
            // 11
            let named = |name: &CspName| (1..=NAME_LEN).contains(&name.0.len());
            if providers.is_empty() || !providers.iter().all(named) {
                return Err(AcceptError::NoProvider);
            }
            Ok(())
        }
    }
}
