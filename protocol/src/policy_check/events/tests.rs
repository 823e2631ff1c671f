use super::*;
use crate::policy::{BootPhase, Permission};

fn judged(index: u8) -> PcrRule {
    PcrRule { index, expected: PcrExpectation::Events, all_zero: Permission::Forbidden }
}

/// Rules that load, and the PCRs that they judge.
fn valid() -> (Vec<PcrRule>, EventRules, ImaRule) {
    let events = EventRules {
        secure_boot: BitRule::Required,
        boot_applications: vec![[1; 32], [2; 32]],
        uki_sections: vec![UkiSection { name: ".linux".to_owned(), digest: [3; 32] }],
        boot_phases: vec![BootPhase::Ready],
        command_lines: vec!["quiet".to_owned()],
        allowed: vec![
            AllowedEvents { index: 4, digests: vec![[4; 32]] },
            AllowedEvents { index: 13, digests: vec![[5; 32]] },
        ],
        unknown_events: vec![5, 7],
    };
    let pcrs = [4, 5, 7, 10, 11, 12, 13].map(judged).to_vec();
    (pcrs, events, ImaRule::AllowList(vec![[6; 32]]))
}

/// The verdict on [`valid`] after a change.
fn changed(change: impl Fn(&mut Vec<PcrRule>, &mut EventRules, &mut ImaRule)) -> Result<(), EventsError> {
    let (mut pcrs, mut events, mut ima) = valid();
    change(&mut pcrs, &mut events, &mut ima);
    check_events(&pcrs, &events, &ima)
}

fn values(pcrs: &mut [PcrRule], index: u8) {
    for rule in pcrs.iter_mut().filter(|rule| rule.index == index) {
        rule.expected = PcrExpectation::Values(vec![[1; 32].into()]);
    }
}

#[test]
fn rules_over_every_kind_of_event_load() {
    assert_eq!(changed(|_, _, _| ()), Ok(()));
    assert_eq!(check_events(&[], &EventRules::NONE, &ImaRule::NotRequired), Ok(()));
}

#[test]
fn t6_a_judged_pcr_without_a_rule_does_not_load() {
    let no_rule = |index| Err(EventsError::NoRule { index });
    assert_eq!(changed(|pcrs, _, _| pcrs.push(judged(1))), no_rule(1));
    assert_eq!(changed(|_, _, ima| *ima = ImaRule::NotRequired), no_rule(10));
    assert_eq!(changed(|_, events, _| events.uki_sections.clear()), no_rule(11));
    assert_eq!(changed(|_, events, _| events.command_lines.clear()), no_rule(12));
    // The variable SecureBoot is never alone in PCR 7.
    assert_eq!(changed(|_, events, _| events.unknown_events = vec![5]), no_rule(7));
    let no_application = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
        events.boot_applications.clear();
        events.allowed.remove(0);
    };
    assert_eq!(changed(no_application), no_rule(4));
}

#[test]
fn a_rule_about_a_pcr_that_is_not_judged_does_not_load() {
    let not_judged = |index| Err(EventsError::NotJudged { index });
    for index in [4, 5, 7, 10, 11, 12, 13] {
        assert_eq!(changed(|pcrs, _, _| values(pcrs, index)), not_judged(index), "{index}");
    }
    assert_eq!(changed(|_, events, _| events.unknown_events.push(10)), not_judged(10));
}

#[test]
fn a_list_beside_unknown_events_does_not_load() {
    for index in [4, 11, 12, 13] {
        let change = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
            events.unknown_events = vec![5, 7];
            events.unknown_events.push(index);
            events.unknown_events.sort_unstable();
        };
        assert_eq!(changed(change), Err(EventsError::NoEffect { index }));
    }
}

#[test]
fn digests_that_are_not_ascending_do_not_load() {
    let order = Err(EventsError::DigestOrder);
    assert_eq!(changed(|_, events, _| events.boot_applications.reverse()), order);
    assert_eq!(changed(|_, events, _| events.boot_applications = vec![[1; 32]; 2]), order);
    assert_eq!(changed(|_, events, _| events.allowed[0].digests = vec![[2; 32], [1; 32]]), order);
    assert_eq!(changed(|_, _, ima| *ima = ImaRule::AllowList(vec![[2; 32], [1; 32]])), order);
}

#[test]
fn t9_an_all_zero_digest_does_not_load() {
    let zero = Err(EventsError::ZeroDigest);
    assert_eq!(changed(|_, events, _| events.boot_applications[0] = [0; 32]), zero);
    assert_eq!(changed(|_, events, _| events.allowed[0].digests[0] = [0; 32]), zero);
    assert_eq!(changed(|_, events, _| events.uki_sections[0].digest = [0; 32]), zero);
    assert_eq!(changed(|_, _, ima| *ima = ImaRule::AllowList(vec![[0; 32]])), zero);
}

#[test]
fn pcrs_that_are_not_ascending_do_not_load() {
    assert_eq!(changed(|_, events, _| events.allowed.reverse()), Err(EventsError::PcrOrder));
    assert_eq!(changed(|_, events, _| events.unknown_events = vec![7, 5]), Err(EventsError::PcrOrder));
    assert_eq!(changed(|_, events, _| events.unknown_events = vec![5, 7, 7]), Err(EventsError::PcrOrder));
}

#[test]
fn a_pcr_with_an_empty_list_does_not_load() {
    assert_eq!(
        changed(|_, events, _| events.allowed[0].digests.clear()),
        Err(EventsError::NoEvent { index: 4 })
    );
}

#[test]
fn impossible_command_lines_do_not_load() {
    for line in [String::new(), "a\0b".to_owned(), "a".repeat(COMMAND_LINE_LEN + 1)] {
        let change = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
            events.command_lines = vec![line.clone()]
        };
        assert_eq!(changed(change), Err(EventsError::CommandLine));
    }
}

#[test]
fn impossible_sections_do_not_load() {
    for name in ["", ".", "linux", ".linux12x", ".\u{e4}"] {
        let change = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
            events.uki_sections[0].name = name.to_owned()
        };
        assert_eq!(changed(change), Err(EventsError::UkiSection), "{name}");
    }
    let twice = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
        let section = events.uki_sections[0].clone();
        events.uki_sections.push(section);
    };
    assert_eq!(changed(twice), Err(EventsError::UkiSection));
}

#[test]
fn boot_phases_are_named_exactly_for_pcr_11() {
    let phases = Err(EventsError::BootPhases);
    assert_eq!(changed(|_, events, _| events.boot_phases.clear()), phases);
    assert_eq!(changed(|_, events, _| events.boot_phases = vec![BootPhase::Ready; 2]), phases);
    let unused = |pcrs: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
        values(pcrs, 11);
        events.uki_sections.clear();
    };
    assert_eq!(changed(unused), phases);
}

#[test]
fn an_empty_list_of_files_does_not_load() {
    assert_eq!(changed(|_, _, ima| *ima = ImaRule::AllowList(Vec::new())), Err(EventsError::NoFile));
}

#[test]
fn lists_beyond_their_limit_do_not_load() {
    let digests = |count: usize| -> Vec<[u8; 32]> {
        let digest = |number: usize| {
            let mut digest = [1; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        (1..=count).map(digest).collect()
    };
    let change = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
        events.boot_applications = digests(REFERENCE_VALUES + 1);
    };
    let too_many = |limit| Err(EventsError::TooMany { count: limit + 1, limit });
    assert_eq!(changed(change), too_many(REFERENCE_VALUES));
    let files = digests(IMA_FILES + 1);
    assert_eq!(changed(|_, _, ima| *ima = ImaRule::AllowList(files.clone())), too_many(IMA_FILES));
}

#[test]
fn t6_phases_do_not_load_for_a_pcr_that_may_hold_unknown_events() {
    let unknown = |_: &mut Vec<PcrRule>, events: &mut EventRules, _: &mut ImaRule| {
        events.uki_sections.clear();
        events.unknown_events = vec![5, 7, 11];
    };
    assert_eq!(changed(unknown), Err(EventsError::UnknownPhases));
}
