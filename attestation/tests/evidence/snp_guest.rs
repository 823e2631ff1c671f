//! The guest: its policy, its ID block, its ids, its mitigations, and how long a reference value holds.

use crate::snp_fixture::{self, Fixture, NOW, accept, measurement, with};
use vouchsafe_attestation::AppraisalError;
use vouchsafe_attestation::snp::rules::{SnpRuleError, Warning, WhichVector};
use vouchsafe_protocol::policy::{
    AbiVersion, AuthorKeyRule, BitRule, Expiry, GuestPolicyRules, IdBlockRule, IdRule, LaunchDigest,
    MigrationAgentRule, MitigationRule, ReferenceValue, ReportIdRule, SnpAccept,
};
use vouchsafe_simulation::field;

/// Bit 17 of POLICY must be one.
const MUST_BE_ONE: u64 = 1 << 17;

fn any_guest_policy() -> GuestPolicyRules {
    GuestPolicyRules { debug: BitRule::Any, migrate_ma: BitRule::Any, ..GuestPolicyRules::STRICT }
}

#[test]
fn s6_each_bit_of_the_guest_policy_is_required_forbidden_or_any() {
    let fixture = Fixture::genoa();
    type Set = fn(&mut GuestPolicyRules, BitRule);
    let bits: [(u8, Set); 9] = [
        (16, |rules, rule| rules.smt = rule),
        (18, |rules, rule| rules.migrate_ma = rule),
        (19, |rules, rule| rules.debug = rule),
        (20, |rules, rule| rules.single_socket = rule),
        (21, |rules, rule| rules.cxl_allowed = rule),
        (22, |rules, rule| rules.mem_aes_256_xts = rule),
        (23, |rules, rule| rules.rapl_disabled = rule),
        (24, |rules, rule| rules.ciphertext_hiding = rule),
        (25, |rules, rule| rules.page_swap_disabled = rule),
    ];
    let known: u64 = 0x3ff << 16;
    for (bit, set) in bits {
        let rule = |bit_rule| {
            with(|accept| {
                accept.guest_policy = any_guest_policy();
                set(&mut accept.guest_policy, bit_rule);
            })
        };
        let on = fixture.report().policy(MUST_BE_ONE | 1 << bit);
        let off = fixture.report().policy(known & !(1 << bit));
        let expected = match bit {
            18 => SnpRuleError::MigrationAgent,
            19 => SnpRuleError::Debug,
            _ => SnpRuleError::GuestPolicy { bit },
        };
        assert_eq!(fixture.rule_refusal(on.clone(), rule(BitRule::Forbidden)), expected);
        assert_eq!(fixture.rule_refusal(off.clone(), rule(BitRule::Required)), expected);
        fixture.appraise_with(on.clone(), &[rule(BitRule::Required)]).unwrap();
        fixture.appraise_with(off.clone(), &[rule(BitRule::Forbidden)]).unwrap();
        fixture.appraise_with(on, &[rule(BitRule::Any)]).unwrap();
        fixture.appraise_with(off, &[rule(BitRule::Any)]).unwrap();
    }
}

#[test]
fn s6_the_abi_that_the_guest_asks_for_is_compared_major_first() {
    let fixture = Fixture::genoa();
    let least = AbiVersion { major: 1, minor: 55 };
    let rule = || with(|accept| accept.guest_policy.min_abi = least);
    let of = |major: u64, minor: u64| fixture.report().policy(MUST_BE_ONE | major << 8 | minor);
    for (major, minor) in [(1, 54), (0, 255), (0, 0)] {
        assert_eq!(fixture.rule_refusal(of(major, minor), rule()), SnpRuleError::Abi { least });
    }
    for (major, minor) in [(1, 55), (1, 56), (2, 0)] {
        fixture.appraise_with(of(major, minor), &[rule()]).unwrap();
    }
}

#[test]
fn s9_mitigations_of_each_mask_must_be_in_force() {
    let fixture = Fixture::genoa();
    let rule = |launch, current| with(|accept| accept.mitigations = MitigationRule { launch, current });
    let report = |launch, current| fixture.report().version(5).mitigations(launch, current);
    for (launch, current) in [(0b101, 0), (0, 0b101), (0b101, 0b101), (1, 4)] {
        fixture.appraise_with(report(0b1101, 0b101), &[rule(launch, current)]).unwrap();
    }
    for shown in [0b100, 0b001, 0b010, 0] {
        let missing = |which| SnpRuleError::Mitigations { which };
        let refused = fixture.rule_refusal(report(shown, 0b111), rule(0b101, 0b101));
        assert_eq!(refused, missing(WhichVector::Launch));
        let refused = fixture.rule_refusal(report(0b111, shown), rule(0b101, 0b101));
        assert_eq!(refused, missing(WhichVector::Current));
    }
    let high = 1 << 63;
    fixture.appraise_with(report(high, high), &[rule(high, high)]).unwrap();
    assert_eq!(
        fixture.rule_refusal(report(high >> 1, high), rule(high, 0)),
        SnpRuleError::Mitigations { which: WhichVector::Launch }
    );
}

#[test]
fn s9_a_report_without_vectors_shows_no_mitigation() {
    let fixture = Fixture::genoa();
    for (launch, current) in [(1, 0), (0, 1)] {
        let rule = with(|accept| accept.mitigations = MitigationRule { launch, current });
        let report = fixture.report().version(4);
        assert_eq!(fixture.rule_refusal(report, rule), SnpRuleError::NoMitigations);
    }
    fixture.appraise_with(fixture.report().version(4), &[accept()]).unwrap();
}

#[test]
fn who_signed_the_id_block_can_be_pinned() {
    let fixture = Fixture::genoa();
    let (id_key, author, other) = ([1; 48], [2; 48], [3; 48]);
    let rule = |id: [u8; 48], author: AuthorKeyRule| {
        let id_keys = vec![LaunchDigest(other), LaunchDigest(id)];
        with(|accept| accept.id_block = IdBlockRule::SignedBy { id_keys, author })
    };
    let by_author = || AuthorKeyRule::OneOf(vec![LaunchDigest([9; 48]), LaunchDigest(author)]);
    let signed = fixture.report().id_block(&id_key, Some(&author));
    fixture.appraise_with(signed.clone(), &[rule(id_key, AuthorKeyRule::AnyAuthor)]).unwrap();
    fixture.appraise_with(signed.clone(), &[rule(id_key, by_author())]).unwrap();
    let unsigned = fixture.report().id_block(&id_key, None);
    fixture.appraise_with(unsigned.clone(), &[rule(id_key, AuthorKeyRule::AnyAuthor)]).unwrap();

    assert_eq!(fixture.rule_refusal(signed, rule([4; 48], by_author())), SnpRuleError::IdKey);
    // A guest without an ID block has a digest of zeros.
    assert_eq!(
        fixture.rule_refusal(fixture.report(), rule(id_key, AuthorKeyRule::AnyAuthor)),
        SnpRuleError::IdKey
    );
    assert_eq!(fixture.rule_refusal(unsigned, rule(id_key, by_author())), SnpRuleError::AuthorKey);
    let by_other = fixture.report().id_block(&id_key, Some(&other));
    assert_eq!(fixture.rule_refusal(by_other, rule(id_key, by_author())), SnpRuleError::AuthorKey);
    // A digest without AUTHOR_KEY_EN is of nobody.
    let not_enabled = fixture.report().id_block(&id_key, None).set(field::AUTHOR_KEY_DIGEST, &author);
    assert_eq!(fixture.rule_refusal(not_enabled, rule(id_key, by_author())), SnpRuleError::AuthorKey);
}

#[test]
fn family_id_and_image_id_can_be_pinned_all_16_bytes() {
    let fixture = Fixture::genoa();
    type Set = fn(&mut SnpAccept, IdRule);
    let ids: [(usize, Set, SnpRuleError); 2] = [
        (field::FAMILY_ID, |accept, rule| accept.family_id = rule, SnpRuleError::FamilyId),
        (field::IMAGE_ID, |accept, rule| accept.image_id = rule, SnpRuleError::ImageId),
    ];
    for (offset, set, expected) in ids {
        let rule = with(|accept| set(accept, IdRule::Exactly([7; 16])));
        let report = |id: &[u8; 16]| fixture.report().set(offset, id);
        fixture.appraise_with(report(&[7; 16]), std::slice::from_ref(&rule)).unwrap();
        fixture.appraise_with(report(&[8; 16]), &[accept()]).unwrap();
        for position in [0, 15] {
            let mut id = [7; 16];
            id[position] ^= 1;
            assert_eq!(fixture.rule_refusal(report(&id), rule.clone()), expected);
        }
    }
}

#[test]
fn the_guests_security_version_has_a_floor() {
    let fixture = Fixture::genoa();
    let rule = || with(|accept| accept.min_guest_svn = 0x1_0000);
    let report = |svn| fixture.report().guest_svn(svn);
    let expected = SnpRuleError::GuestSvn { svn: 0xffff, least: 0x1_0000 };
    assert_eq!(fixture.rule_refusal(report(0xffff), rule()), expected);
    for svn in [0x1_0000, 0x1_0001, u32::MAX] {
        fixture.appraise_with(report(svn), &[rule()]).unwrap();
    }
}

#[test]
fn one_running_guest_can_be_pinned_by_its_report_id() {
    let fixture = Fixture::genoa();
    let rule = with(|accept| accept.report_id = ReportIdRule::Exactly([7; 32]));
    fixture.appraise_with(fixture.report().report_id(&[7; 32]), std::slice::from_ref(&rule)).unwrap();
    for position in [0, 31] {
        let mut id = [7; 32];
        id[position] ^= 1;
        let refused = fixture.rule_refusal(fixture.report().report_id(&id), rule.clone());
        assert_eq!(refused, SnpRuleError::ReportId);
    }
}

#[test]
fn s6_a_migration_agent_is_none_a_certain_one_or_any() {
    let fixture = Fixture::genoa();
    let rule = |agent| with(|accept| accept.migration_agent = agent);
    let (none, agent) = ([0xff; 32], [7; 32]);
    let mut almost_none = none;
    almost_none[31] = 0xfe;
    let report = |id: &[u8; 32]| fixture.report().report_id_ma(id);
    let exactly = MigrationAgentRule::Exactly(agent);
    for (id, agent_rule, accepted) in [
        (none, MigrationAgentRule::NoMigrationAgent, true),
        (almost_none, MigrationAgentRule::NoMigrationAgent, false),
        (agent, MigrationAgentRule::NoMigrationAgent, false),
        ([0; 32], MigrationAgentRule::NoMigrationAgent, false),
        (agent, exactly, true),
        (none, exactly, false),
        ([8; 32], exactly, false),
        (agent, MigrationAgentRule::AnyMigrationAgent, true),
        (none, MigrationAgentRule::AnyMigrationAgent, true),
    ] {
        match fixture.appraise_with(report(&id), &[rule(agent_rule)]) {
            Ok(_) => assert!(accepted, "{agent_rule:?}"),
            Err(error) => {
                assert!(!accepted, "{agent_rule:?}");
                assert_eq!(error, AppraisalError::SnpRule(SnpRuleError::ReportIdMa));
            }
        }
    }
}

#[test]
fn s6_the_strict_rule_is_strict() {
    let fixture = Fixture::genoa();
    let strict = || accept();
    let alias_check_missing = fixture.report().platform_info(0x05);
    assert_eq!(fixture.rule_refusal(alias_check_missing, strict()), SnpRuleError::PlatformInfo { bit: 5 });
    let debug = fixture.report().policy(MUST_BE_ONE | 1 << 19);
    assert_eq!(fixture.rule_refusal(debug, strict()), SnpRuleError::Debug);
    let migration = fixture.report().policy(MUST_BE_ONE | 1 << 18);
    assert_eq!(fixture.rule_refusal(migration, strict()), SnpRuleError::MigrationAgent);
    let agent = fixture.report().report_id_ma(&[1; 32]);
    assert_eq!(fixture.rule_refusal(agent, strict()), SnpRuleError::ReportIdMa);
    let old = fixture.report().version(2);
    assert_eq!(fixture.rule_refusal(old, strict()), SnpRuleError::Version { version: 2, least: 3 });
}

#[test]
fn an_expired_reference_value_is_refused_and_late_ones_are_told() {
    let fixture = Fixture::genoa();
    let rule = |values: &[ReferenceValue<LaunchDigest>]| with(|accept| accept.measurements = values.to_vec());
    let at = |expires_unix_secs, grace_secs| ReferenceValue {
        value: measurement(),
        expiry: Expiry::At { expires_unix_secs, grace_secs },
    };
    let outcome = |values: &[ReferenceValue<LaunchDigest>]| {
        fixture.appraise_with(fixture.report(), &[rule(values)]).map(|appraisal| appraisal.warnings)
    };
    let expired = Err(AppraisalError::SnpRule(SnpRuleError::MeasurementExpired));
    let late = Ok(vec![Warning::ReferenceValue]);
    assert_eq!(outcome(&[at(NOW + 1, 0)]), Ok(vec![]));
    assert_eq!(outcome(&[at(NOW, 0)]), expired);
    assert_eq!(outcome(&[at(NOW, 1)]), late);
    assert_eq!(outcome(&[at(NOW - 10, 11)]), late);
    assert_eq!(outcome(&[at(NOW - 10, 10)]), expired);
    // Of several values for one launch digest, the one that holds for longest counts; of others, none.
    assert_eq!(outcome(&[at(NOW - 1, 0), measurement().into()]), Ok(vec![]));
    assert_eq!(outcome(&[at(NOW - 1, 0), at(NOW - 1, 2)]), late);
    assert_eq!(outcome(&[at(NOW - 1, 0), LaunchDigest([1; 48]).into()]), expired);
    let other = fixture.report().measurement(LaunchDigest([1; 48]));
    let refused = fixture.appraise_with(other, &[rule(&[at(NOW + 1, 0)])]).unwrap_err();
    assert_eq!(refused, AppraisalError::SnpRule(SnpRuleError::Measurement));
}

#[test]
fn what_was_shown_is_recorded() {
    let fixture = Fixture::genoa();
    let report = fixture
        .report()
        .version(5)
        .mitigations(3, 7)
        .id_block(&[1; 48], Some(&[2; 48]))
        .report_id(&[3; 32])
        .guest_svn(4)
        .family_id(&[5; 16])
        .image_id(&[6; 16]);
    let appraisal = fixture.appraise(report).unwrap();
    let vouchsafe_attestation::Claims::Snp(claims) = appraisal.claims else { panic!("claims of a report") };
    assert_eq!(claims.version, 5);
    assert_eq!(claims.measurement, measurement());
    assert_eq!(claims.chip.0, snp_fixture::CHIP_ID);
    assert_eq!(claims.provider, None);
    let tcbs = [claims.reported_tcb, claims.committed_tcb, claims.current_tcb, claims.launch_tcb];
    assert_eq!(tcbs, [snp_fixture::TCB; 4]);
    assert_eq!(claims.mitigations.map(|vectors| (vectors.launch, vectors.current)), Some((3, 7)));
    assert_eq!((claims.id_key_digest, claims.author_key_digest), ([1; 48], Some([2; 48])));
    assert_eq!((claims.report_id, claims.report_id_ma), ([3; 32], [0xff; 32]));
    assert_eq!((claims.guest_svn, claims.family_id, claims.image_id), (4, [5; 16], [6; 16]));
    assert_eq!((claims.policy, claims.platform_info, claims.vmpl), (0x3_0000, 0x25, 0));
}
