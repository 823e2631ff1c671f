//! Security versions.

use crate::snp_fixture::{self, CHIP_ID, Fixture, HIGHER, NOW, TCB, accept};
use vouchsafe_attestation::snp::rules::{SnpRuleError, Warning, WhichTcb};
use vouchsafe_attestation::snp::tcb::Component;
use vouchsafe_protocol::policy::{Accept, Permission, Product, Tcb, TcbFloor, TcbFloors, TcbGrace};
use vouchsafe_simulation::{VekSpec, field};

#[test]
fn s5_reported_above_committed_or_committed_above_current_is_refused() {
    let fixture = Fixture::genoa();
    let lower = Tcb { microcode: TCB.microcode - 1, ..TCB };
    let rule = || {
        Accept::Snp(snp_fixture::SnpAccept {
            provisional_firmware: Permission::Allowed,
            tcb_floors: vec![TcbFloor::all(Product::Genoa, Tcb::ZERO)],
            ..snp_fixture::snp_accept()
        })
    };
    let expected = SnpRuleError::TcbOrder { component: Component::Microcode };
    let report = fixture.report().tcb(field::COMMITTED_TCB, lower);
    assert_eq!(fixture.rule_refusal(report, rule()), expected);
    let report = fixture.report().tcb(field::CURRENT_TCB, lower);
    assert_eq!(fixture.rule_refusal(report, rule()), expected);
}

#[test]
fn s5_order_is_by_component_not_by_integer() {
    let fixture = Fixture::genoa();
    // As one little-endian integer this is larger: microcode is the top byte.
    let committed = Tcb { snp: TCB.snp - 1, microcode: TCB.microcode + 1, ..TCB };
    let report = fixture.report().tcb(field::COMMITTED_TCB, committed).tcb(field::CURRENT_TCB, HIGHER);
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        provisional_firmware: Permission::Allowed,
        ..snp_fixture::snp_accept()
    });
    assert_eq!(fixture.rule_refusal(report, rule), SnpRuleError::TcbOrder { component: Component::Snp });
}

#[test]
fn s5_provisional_firmware_is_refused_unless_allowed() {
    let fixture = Fixture::genoa();
    let report = fixture.report().tcb(field::CURRENT_TCB, HIGHER);
    assert_eq!(fixture.rule_refusal(report.clone(), accept()), SnpRuleError::Provisional);
    let allowed = Accept::Snp(snp_fixture::SnpAccept {
        provisional_firmware: Permission::Allowed,
        ..snp_fixture::snp_accept()
    });
    fixture.appraise_with(report, &[allowed]).unwrap();
}

/// A component, and how to change it.
type Part = (Component, fn(&mut Tcb) -> &mut u8);

/// Every component of a product.
fn components(product: Product) -> Vec<Part> {
    let mut all: Vec<Part> = vec![
        (Component::BootLoader, |tcb| &mut tcb.boot_loader),
        (Component::Tee, |tcb| &mut tcb.tee),
        (Component::Snp, |tcb| &mut tcb.snp),
        (Component::Microcode, |tcb| &mut tcb.microcode),
    ];
    if product == Product::Turin {
        all.push((Component::Fmc, |tcb| &mut tcb.fmc));
    }
    all
}

const MIDDLE: Tcb = Tcb { fmc: 5, boot_loader: 9, tee: 2, snp: 23, microcode: 200 };

#[test]
fn s5_every_component_of_every_tcb_has_a_floor_of_its_own() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        let mut fixture = Fixture::new(product);
        let middle = if product == Product::Turin { MIDDLE } else { Tcb { fmc: 0, ..MIDDLE } };
        fixture.chip = fixture.pki.chip(&VekSpec::vcek(product, middle, CHIP_ID)).unwrap();
        type Floor = fn(&mut TcbFloors) -> &mut Tcb;
        let tcbs: [(WhichTcb, Floor); 4] = [
            (WhichTcb::Reported, |floors| &mut floors.reported),
            (WhichTcb::Committed, |floors| &mut floors.committed),
            (WhichTcb::Launch, |floors| &mut floors.launch),
            (WhichTcb::Current, |floors| &mut floors.current),
        ];
        for (which, floor_of) in tcbs {
            for (component, part) in components(product) {
                let rule = |change: fn(u8) -> u8| {
                    let mut floor = TcbFloor::all(product, Tcb::ZERO);
                    *floor_of(&mut floor.floors) = middle;
                    let value = part(floor_of(&mut floor.floors));
                    *value = change(*value);
                    snp_fixture::with(|accept| accept.tcb_floors = vec![floor])
                };
                let below = [rule(|value| value - 1)];
                fixture.appraise_with(fixture.report(), &below).unwrap();
                fixture.appraise_with(fixture.report(), &[rule(|value| value)]).unwrap();
                let expected = SnpRuleError::Floor { which, component };
                let above = rule(|value| value + 1);
                assert_eq!(fixture.rule_refusal(fixture.report(), above), expected, "{product:?}");
            }
        }
    }
}

#[test]
fn s8_a_floor_for_a_part_that_the_product_lacks_is_never_reached() {
    let fixture = Fixture::genoa();
    let floor = TcbFloor::all(Product::Genoa, Tcb { fmc: 1, ..Tcb::ZERO });
    let rule = snp_fixture::with(|accept| accept.tcb_floors = vec![floor]);
    let expected = SnpRuleError::Floor { which: WhichTcb::Reported, component: Component::Fmc };
    assert_eq!(fixture.rule_refusal(fixture.report(), rule), expected);
}

#[test]
fn s5_each_tcb_of_the_report_is_the_one_that_is_compared() {
    let fixture = Fixture::genoa();
    let lower = Tcb { snp: TCB.snp - 1, ..TCB };
    let floors = |which: WhichTcb| {
        let zero =
            TcbFloors { committed: Tcb::ZERO, current: Tcb::ZERO, launch: Tcb::ZERO, reported: Tcb::ZERO };
        let floors = match which {
            WhichTcb::Committed => TcbFloors { committed: TCB, ..zero },
            WhichTcb::Current => TcbFloors { current: HIGHER, ..zero },
            WhichTcb::Launch => TcbFloors { launch: TCB, ..zero },
            WhichTcb::Reported => TcbFloors { reported: TCB, ..zero },
        };
        snp_fixture::with(|accept| {
            accept.provisional_firmware = Permission::Allowed;
            accept.tcb_floors = vec![TcbFloor { product: Product::Genoa, floors, grace: TcbGrace::NoGrace }];
        })
    };
    let current = fixture.report().tcb(field::CURRENT_TCB, HIGHER);
    fixture.appraise_with(current.clone(), &[floors(WhichTcb::Current)]).unwrap();
    let expected = SnpRuleError::Floor { which: WhichTcb::Current, component: Component::BootLoader };
    assert_eq!(fixture.rule_refusal(fixture.report(), floors(WhichTcb::Current)), expected);
    fixture.appraise_with(current, &[floors(WhichTcb::Committed)]).unwrap();
    let launched_lower = fixture.report().tcb(field::LAUNCH_TCB, lower);
    let expected = SnpRuleError::Floor { which: WhichTcb::Launch, component: Component::Snp };
    assert_eq!(fixture.rule_refusal(launched_lower.clone(), floors(WhichTcb::Launch)), expected);
    fixture.appraise_with(launched_lower.clone(), &[floors(WhichTcb::Reported)]).unwrap();
    fixture.appraise_with(launched_lower, &[floors(WhichTcb::Committed)]).unwrap();
}

#[test]
fn s5_a_grace_floor_is_accepted_with_a_warning_until_its_end() {
    let fixture = Fixture::genoa();
    let with_grace = |grace: Tcb, until_unix_secs| {
        let mut floor = TcbFloor::all(Product::Genoa, HIGHER);
        floor.grace =
            TcbGrace::Until { floors: TcbFloor::all(Product::Genoa, grace).floors, until_unix_secs };
        snp_fixture::with(|accept| accept.tcb_floors = vec![floor])
    };
    let late = fixture.appraise_with(fixture.report(), &[with_grace(TCB, NOW + 1)]).unwrap();
    assert_eq!(late.warnings, [Warning::TcbFloor]);
    // Over at the very second; and what is below the grace floor was never accepted.
    let expected = SnpRuleError::Floor { which: WhichTcb::Reported, component: Component::BootLoader };
    for until in [NOW, NOW - 1] {
        assert_eq!(fixture.rule_refusal(fixture.report(), with_grace(TCB, until)), expected);
    }
    let above = Tcb { microcode: TCB.microcode + 1, ..TCB };
    let expected = SnpRuleError::Floor { which: WhichTcb::Reported, component: Component::Microcode };
    assert_eq!(fixture.rule_refusal(fixture.report(), with_grace(above, NOW + 1)), expected);
    // At the floor there is nothing to warn of.
    let chip = fixture.pki.chip(&VekSpec::vcek(Product::Genoa, HIGHER, CHIP_ID)).unwrap();
    let evidence = chip.evidence(snp_fixture::report(&chip).sign(&chip).unwrap());
    let appraisal = fixture.appraise_evidence(evidence, &[with_grace(TCB, NOW + 1)]).unwrap();
    assert_eq!(appraisal.warnings, []);
}

#[test]
fn s5_a_product_without_a_floor_is_refused() {
    let fixture = Fixture::genoa();
    let rule = Accept::Snp(snp_fixture::SnpAccept {
        tcb_floors: vec![TcbFloor::all(Product::Milan, Tcb::ZERO)],
        ..snp_fixture::snp_accept()
    });
    let expected = SnpRuleError::NoFloor { product: Product::Genoa };
    assert_eq!(fixture.rule_refusal(fixture.report(), rule), expected);
}
