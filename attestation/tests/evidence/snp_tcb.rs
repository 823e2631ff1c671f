//! Security versions.

use crate::snp_fixture::{self, Fixture, HIGHER, TCB, accept};
use vouchsafe_attestation::snp::rules::{SnpRuleError, WhichTcb};
use vouchsafe_attestation::snp::tcb::Component;
use vouchsafe_protocol::policy::{Accept, Permission, Product, Tcb, TcbFloor};
use vouchsafe_simulation::field;

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

#[test]
fn s5_every_component_of_reported_committed_and_launch_has_a_floor() {
    for product in [Product::Genoa, Product::Turin] {
        let fixture = Fixture::new(product);
        let tcb = fixture.chip.tcb();
        let floors = [
            (Component::BootLoader, Tcb { boot_loader: tcb.boot_loader + 1, ..tcb }),
            (Component::Tee, Tcb { tee: tcb.tee + 1, ..tcb }),
            (Component::Snp, Tcb { snp: tcb.snp + 1, ..tcb }),
            (Component::Microcode, Tcb { microcode: tcb.microcode + 1, ..tcb }),
            (Component::Fmc, Tcb { fmc: tcb.fmc + 1, ..tcb }),
        ];
        for (component, floor) in floors {
            let rule = |floor| {
                Accept::Snp(snp_fixture::SnpAccept {
                    tcb_floors: vec![TcbFloor::all(product, floor)],
                    ..snp_fixture::snp_accept()
                })
            };
            let expected = SnpRuleError::Floor { which: WhichTcb::Reported, component };
            assert_eq!(fixture.rule_refusal(fixture.report(), rule(floor)), expected);
            fixture.appraise_with(fixture.report(), &[rule(tcb)]).unwrap();
        }
    }
    // Committed cannot be below reported without breaking the order, so launch is the one left.
    let fixture = Fixture::genoa();
    let report = fixture.report().tcb(field::LAUNCH_TCB, Tcb { snp: TCB.snp - 1, ..TCB });
    let expected = SnpRuleError::Floor { which: WhichTcb::Launch, component: Component::Snp };
    assert_eq!(fixture.rule_refusal(report, accept()), expected);
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
