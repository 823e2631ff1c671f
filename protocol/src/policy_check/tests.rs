//! Each test starts from a role that passes and breaks one rule.

use super::*;
use crate::limits::{CERTIFICATES, PCRS, REFERENCE_VALUES};
use crate::policy::{
    AkRule, AuthorKeyRule, ChipId, ChipRule, CspName, EkRule, EventRules, IdBlockRule, ImaRule, LaunchDigest,
    MitigationRule, PcrExpectation, PcrRule, Permission, Product, RefusalDetail, RevocationRule, SnpAccept,
    Tcb, TcbFloor, TcbGrace, TpmKindRule,
};

const FLOOR: Tcb = Tcb { fmc: 0, boot_loader: 9, tee: 0, snp: 23, microcode: 72 };

fn snp() -> SnpAccept {
    SnpAccept::strict(
        vec![Product::Genoa],
        vec![LaunchDigest([1; 48]).into()],
        vec![TcbFloor::all(Product::Genoa, FLOOR)],
        ChipRule::AnyChip,
        RevocationRule::Checked { max_age_secs: 1 },
    )
}

fn pcr(index: u8) -> PcrRule {
    let expected = PcrExpectation::Values(vec![[index + 1; 32].into()]);
    PcrRule { index, expected, all_zero: Permission::Forbidden }
}

fn tpm() -> TpmAccept {
    TpmAccept {
        anchors: vec!["cloud".parse().unwrap()],
        kind: TpmKindRule::Hardware,
        pcrs: vec![pcr(0), pcr(7), pcr(11)],
        events: EventRules::default(),
        ima: ImaRule::NotRequired,
        ak: AkRule::ByCredential,
        ek: EkRule::AnyTpm,
    }
}

fn values(values: Vec<[u8; 32]>) -> PcrExpectation {
    PcrExpectation::Values(values.into_iter().map(Into::into).collect())
}

fn role() -> Role {
    Role {
        name: "billing".parse().unwrap(),
        spiffe_path: "/billing/agent".into(),
        evidence_max_age_secs: 3600,
        identity_ttl_secs: 3600,
        refusals: RefusalDetail::CodeOnly,
        accept: vec![Accept::Snp(snp()), Accept::Tpm(tpm())],
        allow: vec![Allow::always("kv/billing/*", &[Capability::Read, Capability::List])],
        deny: vec![],
        leases_per_identity: 10,
        leases: 100,
    }
}

fn role_error(change: impl FnOnce(&mut Role)) -> RoleError {
    let mut role = role();
    change(&mut role);
    check_role(&role).unwrap_err()
}

fn snp_error(change: impl FnOnce(&mut SnpAccept)) -> AcceptError {
    let mut rule = snp();
    change(&mut rule);
    let mut role = role();
    role.accept = vec![Accept::Tpm(tpm()), Accept::Snp(rule)];
    match check_role(&role).unwrap_err() {
        RoleError::Accept { number: 2, source } => source,
        other => panic!("{other}"),
    }
}

fn tpm_error(change: impl FnOnce(&mut TpmAccept)) -> AcceptError {
    let mut rule = tpm();
    change(&mut rule);
    check_accept(&Accept::Tpm(rule)).unwrap_err()
}

fn allow_error(path: &str, can: &[Capability]) -> AllowError {
    let rule = Allow::always(path, can);
    match role_error(|role| role.allow.push(rule)) {
        RoleError::Allow { number: 2, source } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn a_whole_role_passes() {
    assert_eq!(check_role(&role()), Ok(()));
}

#[test]
fn v1_a_spiffe_path_has_one_spelling() {
    for path in ["", "billing", "/", "//a", "/a/", "/a/../b", "/a b", "/a~b", "/a\n"] {
        assert_eq!(role_error(|role| role.spiffe_path = path.into()), RoleError::SpiffePath, "{path:?}");
    }
}

#[test]
fn b9_a_role_cannot_take_an_operators_name() {
    for path in ["/operator", "/operator/alice", "/vault/x"] {
        let error = role_error(|role| role.spiffe_path = path.into());
        assert_eq!(error, RoleError::ReservedSpiffePath);
    }
    let mut near = role();
    near.spiffe_path = "/operators/alice".into();
    assert_eq!(check_role(&near), Ok(()));
}

#[test]
fn f6_ages_and_lifetimes_are_bounded() {
    for secs in [0, LIFETIME_MAX_SECS + 1, u32::MAX] {
        assert_eq!(role_error(|role| role.evidence_max_age_secs = secs), RoleError::EvidenceMaxAge);
        assert_eq!(role_error(|role| role.identity_ttl_secs = secs), RoleError::IdentityTtl);
    }
}

#[test]
fn a_role_that_accepts_nothing_or_too_much_is_refused() {
    assert_eq!(role_error(|role| role.accept.clear()), RoleError::NoAccept);
    let many = RULES_PER_ROLE + 1;
    let error = role_error(|role| role.accept = vec![Accept::Tpm(tpm()); many]);
    assert_eq!(error, RoleError::TooManyRules { count: many });
    let error = role_error(|role| role.allow = vec![role.allow[0].clone(); many]);
    assert_eq!(error, RoleError::TooManyRules { count: many });
}

#[test]
fn s1_products_are_named_once_and_at_least_one() {
    assert_eq!(snp_error(|rule| rule.products.clear()), AcceptError::NoProduct);
    assert_eq!(snp_error(|rule| rule.products.push(Product::Genoa)), AcceptError::RepeatedProduct);
}

#[test]
fn empty_or_endless_reference_values_are_refused() {
    assert_eq!(snp_error(|rule| rule.measurements.clear()), AcceptError::NoMeasurement);
    let count = REFERENCE_VALUES + 1;
    let too_many = AcceptError::TooManyValues { count, limit: REFERENCE_VALUES };
    assert_eq!(snp_error(|rule| rule.measurements = vec![LaunchDigest([1; 48]).into(); count]), too_many);
    assert_eq!(snp_error(|rule| rule.chip = ChipRule::Allow(vec![ChipId([1; 64]); count])), too_many);
    assert_eq!(tpm_error(|rule| rule.pcrs[0].expected = values(vec![[1; 32]; count])), too_many);
    assert_eq!(tpm_error(|rule| rule.ek = EkRule::Allow(vec![[1; 32]; count])), too_many);
    let anchors = AcceptError::TooManyValues { count: CERTIFICATES + 1, limit: CERTIFICATES };
    assert_eq!(tpm_error(|rule| rule.anchors = vec![rule.anchors[0].clone(); CERTIFICATES + 1]), anchors);
    let pcrs = AcceptError::TooManyValues { count: PCRS + 1, limit: PCRS };
    assert_eq!(tpm_error(|rule| rule.pcrs = vec![pcr(0); PCRS + 1]), pcrs);
}

#[test]
fn s5_every_product_has_exactly_one_floor() {
    let product = Product::Genoa;
    assert_eq!(snp_error(|rule| rule.tcb_floors.clear()), AcceptError::FloorMissing { product });
    let twice = snp_error(|rule| rule.tcb_floors.push(rule.tcb_floors[0]));
    assert_eq!(twice, AcceptError::FloorMissing { product });
    let product = Product::Turin;
    let extra = snp_error(|rule| rule.tcb_floors.push(TcbFloor { product, ..rule.tcb_floors[0] }));
    assert_eq!(extra, AcceptError::FloorWithoutProduct { product });
    let product = Product::Genoa;
    let fmc = snp_error(|rule| rule.tcb_floors[0].floors.launch.fmc = 1);
    assert_eq!(fmc, AcceptError::FmcWithoutTurin { product });
}

#[test]
fn s6_a_vmpl_beyond_3_is_refused() {
    assert_eq!(snp_error(|rule| rule.vmpl = 4), AcceptError::Vmpl { vmpl: 4 });
}

#[test]
fn s15_report_versions_are_2_to_5() {
    for version in [0, 1, 6, u32::MAX] {
        let error = snp_error(|rule| rule.min_report_version = version);
        assert_eq!(error, AcceptError::ReportVersion { version });
    }
}

#[test]
fn s12_a_chip_list_is_not_empty_and_has_no_masked_id() {
    assert_eq!(snp_error(|rule| rule.chip = ChipRule::Allow(vec![])), AcceptError::NoChip);
    let masked = ChipRule::Allow(vec![ChipId([1; 64]), ChipId([0; 64])]);
    assert_eq!(snp_error(|rule| rule.chip = masked), AcceptError::MaskedChip);
}

#[test]
fn t2_an_empty_or_ambiguous_selection_is_refused() {
    assert_eq!(tpm_error(|rule| rule.pcrs.clear()), AcceptError::NoPcr);
    assert_eq!(tpm_error(|rule| rule.pcrs.push(pcr(11))), AcceptError::PcrOrder { index: 11 });
    assert_eq!(tpm_error(|rule| rule.pcrs.push(pcr(3))), AcceptError::PcrOrder { index: 3 });
    assert_eq!(
        tpm_error(|rule| rule.pcrs[1].expected = values(vec![])),
        AcceptError::NoPcrValue { index: 7 }
    );
}

#[test]
fn t2_one_role_asks_for_one_selection() {
    let other = |indexes: &[u8]| {
        let pcrs = indexes.iter().map(|index| pcr(*index)).collect();
        Accept::Tpm(TpmAccept { pcrs, ..tpm() })
    };
    let two = |first: &[u8], second: &[u8]| {
        let accept = vec![other(first), Accept::Snp(snp()), other(second)];
        check_role(&Role { accept, ..role() })
    };
    assert_eq!(two(&[0, 7], &[0, 7]), Ok(()));
    assert_eq!(two(&[0, 7], &[0]), Err(RoleError::TpmSelections));
    assert_eq!(two(&[0], &[7]), Err(RoleError::TpmSelections));
}

#[test]
fn t3_resettable_and_drtm_pcrs_do_not_load() {
    for index in [16, 23] {
        assert_eq!(tpm_error(|rule| rule.pcrs = vec![pcr(index)]), AcceptError::ResettablePcr { index });
    }
    for index in 17..=22 {
        assert_eq!(tpm_error(|rule| rule.pcrs = vec![pcr(index)]), AcceptError::DrtmPcr { index });
    }
    for index in [24, 200] {
        assert_eq!(tpm_error(|rule| rule.pcrs = vec![pcr(index)]), AcceptError::PcrIndex { index });
    }
}

#[test]
fn t9_an_all_zero_pcr_loads_only_by_name() {
    let zero = |rule: &mut TpmAccept| rule.pcrs[1].expected = values(vec![[8; 32], [0; 32]]);
    assert_eq!(tpm_error(zero), AcceptError::AllZeroPcr { index: 7 });
    let mut named = tpm();
    zero(&mut named);
    named.pcrs[1].all_zero = Permission::Allowed;
    assert_eq!(check_tpm(&named), Ok(()));
}

#[test]
fn t4_anchors_and_endorsement_keys_are_named() {
    assert_eq!(tpm_error(|rule| rule.anchors.clear()), AcceptError::NoAnchor);
    assert_eq!(tpm_error(|rule| rule.anchors.push(rule.anchors[0].clone())), AcceptError::RepeatedAnchor);
    assert_eq!(tpm_error(|rule| rule.ek = EkRule::Allow(vec![])), AcceptError::NoEk);
}

#[test]
fn v12_a_grant_has_a_whole_pattern_and_distinct_capabilities() {
    let read = [Capability::Read];
    assert_eq!(allow_error("kv/a*", &read), AllowError::Path(PathError::Segment));
    assert_eq!(allow_error("/kv", &read), AllowError::Path(PathError::EmptySegment));
    assert_eq!(allow_error("kv/x", &[]), AllowError::NoCapability);
    let twice = [Capability::Read, Capability::List, Capability::Read];
    let error = AllowError::RepeatedCapability { capability: Capability::Read };
    assert_eq!(allow_error("kv/x", &twice), error);
}

#[test]
fn s9_mitigations_need_reports_that_show_them() {
    let launch = |rule: &mut SnpAccept| rule.mitigations = MitigationRule { launch: 1, current: 0 };
    assert_eq!(snp_error(launch), AcceptError::MitigationsWithoutVersion);
    let current = |rule: &mut SnpAccept| rule.mitigations = MitigationRule { launch: 0, current: 1 };
    assert_eq!(snp_error(current), AcceptError::MitigationsWithoutVersion);
    let mut five = snp();
    launch(&mut five);
    five.min_report_version = 5;
    assert_eq!(check_snp(&five), Ok(()));
}

#[test]
fn s11_an_age_of_nothing_is_refused() {
    let zero = RevocationRule::Checked { max_age_secs: 0 };
    assert_eq!(snp_error(|rule| rule.revocation = zero), AcceptError::RevocationAge);
}

#[test]
fn s5_a_grace_floor_is_nowhere_above_the_floor() {
    let product = Product::Genoa;
    let grace = |change: fn(&mut Tcb)| {
        let mut floors = snp().tcb_floors[0].floors;
        change(&mut floors.launch);
        TcbGrace::Until { floors, until_unix_secs: 1 }
    };
    let lower = grace(|tcb| tcb.snp -= 1);
    let mut rule = snp();
    rule.tcb_floors[0].grace = lower;
    assert_eq!(check_snp(&rule), Ok(()));
    let above: [fn(&mut Tcb); 4] =
        [|tcb| tcb.boot_loader += 1, |tcb| tcb.tee += 1, |tcb| tcb.snp += 1, |tcb| tcb.microcode += 1];
    for change in above {
        let error = snp_error(|rule| rule.tcb_floors[0].grace = grace(change));
        assert_eq!(error, AcceptError::GraceAboveFloor { product });
    }
    let fmc = snp_error(|rule| rule.tcb_floors[0].grace = grace(|tcb| tcb.fmc = 1));
    assert_eq!(fmc, AcceptError::FmcWithoutTurin { product });
}

#[test]
fn b11_lists_of_providers_and_keys_are_not_empty() {
    let providers =
        |names: &[&str]| ChipRule::Providers(names.iter().map(|name| CspName((*name).to_owned())).collect());
    let long = "x".repeat(65);
    for names in [&[][..], &["a", ""], &[long.as_str()]] {
        assert_eq!(snp_error(|rule| rule.chip = providers(names)), AcceptError::NoProvider);
    }
    let signed = |id_keys: Vec<LaunchDigest>, author| IdBlockRule::SignedBy { id_keys, author };
    let key = LaunchDigest([7; 48]);
    let none = signed(vec![], AuthorKeyRule::AnyAuthor);
    assert_eq!(snp_error(|rule| rule.id_block = none), AcceptError::NoIdKey);
    let none = signed(vec![key], AuthorKeyRule::OneOf(vec![]));
    assert_eq!(snp_error(|rule| rule.id_block = none), AcceptError::NoAuthorKey);
    let mut good = snp();
    good.chip = providers(&["aws"]);
    good.id_block = signed(vec![key], AuthorKeyRule::OneOf(vec![key]));
    assert_eq!(check_snp(&good), Ok(()));
}

#[test]
fn t6_a_pcr_judged_by_events_has_a_rule_over_them() {
    let unjudged = |rule: &mut TpmAccept| rule.pcrs[1].expected = PcrExpectation::Events;
    assert_eq!(tpm_error(unjudged), AcceptError::Events(EventsError::NoRule { index: 7 }));
}
