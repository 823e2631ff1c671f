//! Rules over what was booted and run, through the one entry point: a quote that is right in every way, over the values
//! that a log leads to. Each test changes one thing, in the log, in what was measured, or in the rules.

use vouchsafe_attestation::log::ima::{ImaError, ImaReplayError, ImaRuleError};
use vouchsafe_attestation::log::{BootError, EventKind, EventLogError, Guid, ReplayError};
use vouchsafe_attestation::tpm::event_rules::EventRuleError;
use vouchsafe_attestation::tpm::quote::QuoteError;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_attestation::{Appraisal, AppraisalError};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::{Logs, PcrValue, TpmEvidence};
use vouchsafe_protocol::policy::{
    Accept, AllowedEvents, BitRule, BootPhase, EventRules, ImaRule, PcrExpectation, PcrRule, Permission,
    TpmAccept, UkiSection,
};
use vouchsafe_protocol::policy_check::check_tpm;

use crate::log_builder::{EXIT_SUCCESS, LogBuilder, LogEvent, sha256};
use crate::tpm_fixture::{Fixture, pcr_rule, quote_over, tpm_accept};

/// PCRs that the rules judge by events.
const JUDGED: [u8; 5] = [4, 5, 7, 11, 12];

fn judged(index: u8) -> PcrRule {
    PcrRule { index, expected: PcrExpectation::Events, all_zero: Permission::Forbidden }
}

fn sorted(mut digests: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    digests.sort_unstable();
    digests
}

/// Rules that accept [`LogBuilder::orderly`].
fn rules() -> EventRules {
    let section = |name: &str, content: &[u8]| UkiSection { name: name.to_owned(), digest: sha256(content) };
    let log = LogBuilder::orderly();
    let of_pcr = |pcr| log.events.iter().filter(move |event| event.pcr == pcr);
    // The configuration of Secure Boot and the key that vouched, without the variable that has its own rule.
    let secure_boot = of_pcr(7).filter(|event| event.kind != EventKind::SEPARATOR).skip(1);
    EventRules {
        secure_boot: BitRule::Required,
        boot_applications: sorted(vec![sha256(b"systemd-boot"), sha256(b"uki")]),
        uki_sections: vec![section(".linux", b"kernel"), section(".initrd", b"initrd")],
        boot_phases: vec![BootPhase::Firmware],
        command_lines: vec!["console=ttyS0".to_owned()],
        allowed: vec![
            AllowedEvents { index: 5, digests: vec![sha256(b"partitions")] },
            AllowedEvents {
                index: 7,
                digests: sorted(secure_boot.map(|event| sha256(&event.data)).collect()),
            },
        ],
        unknown_events: Vec::new(),
    }
}

fn accept_of(events: EventRules) -> TpmAccept {
    TpmAccept { pcrs: JUDGED.map(judged).to_vec(), events, ..tpm_accept() }
}

/// Evidence whose quote is over these values.
fn evidence(fixture: &Fixture, pcrs: &[PcrValue], boot: Option<Vec<u8>>) -> TpmEvidence {
    TpmEvidence { logs: Logs { boot, ima: None }, ..fixture.evidence(&quote_over(pcrs), pcrs) }
}

fn appraise_over(
    log: &LogBuilder,
    pcrs: &[PcrValue],
    accept: &TpmAccept,
) -> Result<Appraisal, AppraisalError> {
    assert_eq!(check_tpm(accept), Ok(()), "the rules load");
    let fixture = Fixture::new();
    fixture.appraise(evidence(&fixture, pcrs, Some(log.encode())), &[Accept::Tpm(accept.clone())])
}

/// The verdict on a machine that booted by this log.
fn verdict(log: &LogBuilder, accept: &TpmAccept) -> Result<(), TpmRuleError> {
    let indices: Vec<u8> = accept.pcrs.iter().map(|pcr| pcr.index).collect();
    rule_error(appraise_over(log, &log.pcrs(&indices), accept))
}

fn rule_error(verdict: Result<Appraisal, AppraisalError>) -> Result<(), TpmRuleError> {
    match verdict {
        Ok(_) => Ok(()),
        Err(AppraisalError::TpmRule(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

/// The verdict on a machine whose boot differs in one thing.
fn booted(change: impl Fn(&mut LogBuilder)) -> Result<(), TpmRuleError> {
    booted_with(change, rules())
}

fn booted_with(change: impl Fn(&mut LogBuilder), rules: EventRules) -> Result<(), TpmRuleError> {
    let mut log = LogBuilder::orderly();
    change(&mut log);
    verdict(&log, &accept_of(rules))
}

fn event_error<T>(error: EventRuleError) -> Result<T, TpmRuleError> {
    Err(TpmRuleError::Event(error))
}

fn insert_behind(log: &mut LogBuilder, event: LogEvent, fits: impl Fn(&LogEvent) -> bool) -> u32 {
    let place = log.events.iter().position(fits).unwrap() + 1;
    log.events.insert(place, event);
    u32::try_from(place).unwrap() + 2
}

fn number(fits: impl Fn(&LogEvent) -> bool) -> u32 {
    LogBuilder::orderly().number(fits)
}

#[test]
fn a_boot_by_the_rules_is_accepted() {
    assert_eq!(booted(|_| ()), Ok(()));
}

#[test]
fn a_judged_pcr_without_its_log_is_refused() {
    let (fixture, log) = (Fixture::new(), LogBuilder::orderly());
    let accept = accept_of(rules());
    let without = evidence(&fixture, &log.pcrs(&JUDGED), None);
    let verdict = fixture.appraise(without, &[Accept::Tpm(accept)]);
    assert_eq!(rule_error(verdict), Err(TpmRuleError::NoLog { index: 4 }));
}

#[test]
fn bytes_that_are_no_log_are_refused_as_such() {
    let (fixture, log) = (Fixture::new(), LogBuilder::orderly());
    let broken = evidence(&fixture, &log.pcrs(&JUDGED), Some(vec![0xff; 100]));
    let verdict = fixture.appraise(broken, &[Accept::Tpm(accept_of(rules()))]);
    assert_eq!(rule_error(verdict), Err(TpmRuleError::BootLog(EventLogError::Truncated { number: 1 })));
}

#[test]
fn t7_the_log_of_another_boot_is_refused_by_the_rule() {
    let log = LogBuilder::orderly();
    let mut pcrs = log.pcrs(&JUDGED);
    pcrs[0].value = [1; 32];
    let verdict = rule_error(appraise_over(&log, &pcrs, &accept_of(rules())));
    assert_eq!(verdict, Err(TpmRuleError::Replay(ReplayError::Value { pcr: 4 })));
}

#[test]
fn a_pcr_judged_by_values_needs_no_log() {
    // The log explains PCR 4; what it says of PCR 9 is wrong, and nobody asks.
    let mut log = LogBuilder::orderly();
    log.events.push(LogEvent::of(9, EventKind::IPL, b"grub.cfg"));
    let events = EventRules { boot_applications: rules().boot_applications, ..EventRules::NONE };
    let pcrs = vec![judged(4), pcr_rule(9, &[[9; 32]])];
    let accept = TpmAccept { pcrs, events, ..tpm_accept() };
    let quoted = [log.pcrs(&[4])[0], PcrValue { index: 9, value: [9; 32] }];
    assert!(appraise_over(&log, &quoted, &accept).is_ok());
    // Judged by values alone, a log may be anything.
    let (fixture, only) = (Fixture::new(), TpmAccept { pcrs: vec![pcr_rule(9, &[[9; 32]])], ..tpm_accept() });
    let junk = evidence(&fixture, &quoted[1..], Some(vec![0xff; 100]));
    assert!(fixture.appraise(junk, &[Accept::Tpm(only)]).is_ok());
}

#[test]
fn t9_a_judged_pcr_that_was_never_extended_is_refused() {
    let verdict = booted(|log| log.events.retain(|event| event.pcr != 12));
    assert_eq!(verdict, Err(TpmRuleError::AllZero { index: 12 }));
}

#[test]
fn t7_a_boot_that_is_not_orderly_is_refused() {
    let verdict = booted(|log| log.events.push(LogEvent::of(4, EventKind::EFI_ACTION, b"late")));
    let number = LogBuilder::orderly().last_number() + 1;
    assert_eq!(verdict, Err(TpmRuleError::Boot(BootError::AfterExit { number })));
}

#[test]
fn a_log_beside_a_quote_with_a_wrong_signature_is_not_looked_at() {
    let (fixture, log) = (Fixture::new(), LogBuilder::orderly());
    let mut forged = evidence(&fixture, &log.pcrs(&JUDGED), Some(vec![0xff; 100]));
    *forged.signature.last_mut().unwrap() ^= 1;
    let verdict = fixture.appraise(forged, &[Accept::Tpm(accept_of(rules()))]);
    assert_eq!(verdict.unwrap_err(), AppraisalError::Quote(QuoteError::BadSignature));
}

#[test]
fn values_that_the_quote_does_not_cover_are_refused_although_a_log_leads_to_them() {
    let (fixture, log) = (Fixture::new(), LogBuilder::orderly());
    let good = evidence(&fixture, &log.pcrs(&JUDGED), Some(log.encode()));
    let mut other = LogBuilder::orderly();
    other.find(|event| event.pcr == 5).data.push(0);
    insert_behind(&mut other, LogEvent::application("uki"), |event| event.pcr == 12);
    let swapped = TpmEvidence {
        pcrs: other.pcrs(&JUDGED),
        logs: Logs { boot: Some(other.encode()), ima: None },
        ..good
    };
    let verdict = fixture.appraise(swapped, &[Accept::Tpm(accept_of(rules()))]);
    assert_eq!(verdict.unwrap_err(), AppraisalError::Quote(QuoteError::PcrDigest));
}

#[test]
fn t6_secure_boot_is_as_the_rule_says() {
    let off = |log: &mut LogBuilder| {
        *log.find(|event| event.pcr == 7) = LogEvent::variable(Guid::GLOBAL, "SecureBoot", &[0]);
    };
    assert_eq!(booted(off), event_error(EventRuleError::SecureBoot));
    let forbidden = || EventRules { secure_boot: BitRule::Forbidden, ..rules() };
    assert_eq!(booted_with(|_| (), forbidden()), event_error(EventRuleError::SecureBoot));
    assert_eq!(booted_with(off, forbidden()), Ok(()));
    let missing = |log: &mut LogBuilder| {
        log.events.remove(1);
    };
    assert_eq!(booted(missing), event_error(EventRuleError::SecureBootUnknown));
    // Measured as off, logged as on.
    let relabelled = |log: &mut LogBuilder| {
        let on = log.find(|event| event.pcr == 7).data.clone();
        off(log);
        log.find(|event| event.pcr == 7).data = on;
    };
    assert_eq!(booted(relabelled), event_error(EventRuleError::SecureBootUnknown));
    // Without the rule the variable is an event like any other.
    let any = || EventRules { secure_boot: BitRule::Any, ..rules() };
    let number = number(|event| event.pcr == 7);
    assert_eq!(booted_with(|_| (), any()), event_error(EventRuleError::Unlisted { number, pcr: 7 }));
}

#[test]
fn t6_unknown_events_follow_the_named_policy() {
    let unknown = LogEvent::of(5, EventKind::EFI_GPT_EVENT, b"other partitions");
    let insert =
        |log: &mut LogBuilder| insert_behind(log, unknown.clone(), |event| event.data == b"partitions");
    let number = insert(&mut LogBuilder::orderly());
    let refused = booted(|log| {
        insert(log);
    });
    assert_eq!(refused, event_error(EventRuleError::Unlisted { number, pcr: 5 }));
    let named = EventRules { allowed: rules().allowed[1..].to_vec(), unknown_events: vec![5], ..rules() };
    let accepted = |log: &mut LogBuilder| {
        insert(log);
    };
    assert_eq!(booted_with(accepted, named), Ok(()));
}

#[test]
fn t6_a_listed_digest_counts_in_its_own_pcr_alone() {
    // The event of PCR 5 that is listed for it, in every other judged PCR.
    for (pcr, kind) in
        [(4, EventKind::IPL), (7, EventKind::EFI_ACTION), (11, EventKind::IPL), (12, EventKind::IPL)]
    {
        let verdict = booted(|log| {
            insert_behind(log, LogEvent::of(pcr, kind, b"partitions"), |event| event.data == b"partitions");
        });
        let number = number(|event| event.data == b"partitions") + 1;
        let expected = match pcr {
            4 => EventRuleError::BootApplication { number },
            12 => EventRuleError::CommandLine { number },
            _ => EventRuleError::Unlisted { number, pcr: u8::try_from(pcr).unwrap() },
        };
        assert_eq!(verdict, event_error(expected), "{pcr}");
    }
    // Steps of the boot manager are measured into PCRs 4 and 5, separators into 0 to 7.
    let action = LogEvent::action(7, EXIT_SUCCESS);
    let verdict = booted(|log| {
        insert_behind(log, action.clone(), |event| event.data == b"partitions");
    });
    assert!(
        matches!(verdict, Err(TpmRuleError::Event(EventRuleError::Unlisted { pcr: 7, .. }))),
        "{verdict:?}"
    );
    let verdict = booted(|log| {
        insert_behind(log, LogEvent::separator(11), |event| event.pcr == 12);
    });
    assert!(
        matches!(verdict, Err(TpmRuleError::Event(EventRuleError::Unlisted { pcr: 11, .. }))),
        "{verdict:?}"
    );
}

#[test]
fn a_boot_application_that_is_not_listed_is_refused() {
    let verdict = booted(|log| {
        insert_behind(log, LogEvent::application("rootkit"), |event| event.data == b"partitions");
    });
    let number = number(|event| event.data == b"partitions") + 1;
    assert_eq!(verdict, event_error(EventRuleError::BootApplication { number }));
    // Whatever it is called.
    let verdict = booted(|log| {
        let event = LogEvent { kind: EventKind::EFI_ACTION, ..LogEvent::application("rootkit") };
        insert_behind(log, event, |event| event.data == b"partitions");
    });
    assert_eq!(verdict, event_error(EventRuleError::BootApplication { number }));
    // Listed among the events of PCR 4 it may be there.
    let mut listed = rules();
    listed.allowed.insert(0, AllowedEvents { index: 4, digests: vec![sha256(b"rootkit")] });
    let accepted = |log: &mut LogBuilder| {
        insert_behind(log, LogEvent::application("rootkit"), |event| event.data == b"partitions");
    };
    assert_eq!(booted_with(accepted, listed), Ok(()));
}

#[test]
fn sections_of_a_unified_kernel_image_are_listed_by_name_and_content() {
    let is_content = |event: &LogEvent| event.pcr == 11 && event.digests[1].1 == sha256(b"kernel");
    let changed = booted(|log| log.find(is_content).digests[1].1 = sha256(b"rootkit").to_vec());
    let name = number(|event| event.pcr == 11);
    assert_eq!(changed, event_error(EventRuleError::UkiSection { number: name }));
    // The content of one section does not pass as another's.
    let swapped = booted(|log| log.find(is_content).digests[1].1 = sha256(b"initrd").to_vec());
    assert_eq!(swapped, event_error(EventRuleError::UkiSection { number: name }));
    // A name that is not listed, and content without a name.
    let renamed = booted(|log| log.find(|event| event.pcr == 11).digests[1].1 = sha256(b".ucode\0").to_vec());
    assert_eq!(renamed, event_error(EventRuleError::Unlisted { number: name, pcr: 11 }));
    let headless =
        booted(|log| log.events.retain(|event| event.pcr != 11 || event.digests[1].1 != sha256(b".linux\0")));
    assert_eq!(headless, event_error(EventRuleError::Unlisted { number: name, pcr: 11 }));
    // A name at the end.
    let cut = booted(|log| {
        let content = log.events.iter().rposition(|event| event.pcr == 11).unwrap();
        log.events.remove(content);
    });
    assert_eq!(cut, event_error(EventRuleError::UkiSection { number: name + 2 }));
    // One of two listed contents of a section.
    let mut both = rules();
    both.uki_sections.push(UkiSection { name: ".linux".to_owned(), digest: sha256(b"kernel 2") });
    let newer = |log: &mut LogBuilder| log.find(is_content).digests[1].1 = sha256(b"kernel 2").to_vec();
    assert_eq!(booted_with(newer, both), Ok(()));
}

#[test]
fn a_command_line_that_is_not_listed_is_refused() {
    let number = number(|event| event.pcr == 12);
    for line in ["console=ttyS1", "console=ttyS0 init=/bin/sh", ""] {
        let verdict = booted(|log| *log.find(|event| event.pcr == 12) = LogEvent::systemd_text(line));
        assert_eq!(verdict, event_error(EventRuleError::CommandLine { number }), "{line}");
    }
    // Measured as something else, logged as listed.
    let relabelled = booted(|log| {
        log.find(|event| event.pcr == 12).digests[1].1 = sha256(b"rootkit").to_vec();
    });
    assert_eq!(relabelled, event_error(EventRuleError::CommandLine { number }));
    // GRUB measures its own into PCR 8.
    let mut log = LogBuilder::orderly();
    log.events.push(LogEvent::grub_text("console=ttyS0"));
    let events = EventRules { command_lines: rules().command_lines, ..EventRules::NONE };
    let accept = TpmAccept { pcrs: vec![judged(8)], events, ..tpm_accept() };
    assert_eq!(verdict(&log, &accept), Ok(()));
    log.events.push(LogEvent::grub_text("init=/bin/sh"));
    let number = log.last_number();
    assert_eq!(verdict(&log, &accept), event_error(EventRuleError::CommandLine { number }));
}

#[test]
fn a_phase_of_the_boot_that_is_not_listed_is_refused() {
    let log = LogBuilder::orderly();
    let mut pcrs = log.pcrs(&JUDGED);
    pcrs[3].value = sha256(&[pcrs[3].value, sha256(b"enter-initrd")].concat());
    let with = |phase| accept_of(EventRules { boot_phases: vec![phase], ..rules() });
    let verdict = |accept: &TpmAccept| rule_error(appraise_over(&log, &pcrs, accept));
    assert_eq!(verdict(&with(BootPhase::Firmware)), event_error(EventRuleError::BootPhase));
    assert_eq!(verdict(&with(BootPhase::Ready)), event_error(EventRuleError::BootPhase));
    assert_eq!(verdict(&with(BootPhase::Initrd)), Ok(()));
}

#[test]
fn any_one_rule_may_accept_and_the_one_that_got_furthest_explains() {
    let (fixture, log) = (Fixture::new(), LogBuilder::orderly());
    let good = evidence(&fixture, &log.pcrs(&JUDGED), Some(log.encode()));
    let strict = accept_of(EventRules { boot_applications: vec![[1; 32]], ..rules() });
    let by_value =
        TpmAccept { pcrs: JUDGED.map(|index| pcr_rule(index, &[[1; 32]])).to_vec(), ..tpm_accept() };
    let rules_of =
        |last: &TpmAccept| [by_value.clone(), strict.clone(), last.clone()].map(Accept::Tpm).to_vec();
    let accepted = fixture.appraise(good.clone(), &rules_of(&accept_of(rules()))).unwrap();
    assert_eq!(accepted.rule, 2);
    let refused = rule_error(fixture.appraise(good, &rules_of(&by_value)));
    let number = number(|event| event.digests[1].1 == sha256(b"systemd-boot"));
    assert_eq!(refused, event_error(EventRuleError::BootApplication { number }));
}

/// A line of an IMA log, and what it extends.
fn measured(name: &str, digest: [u8; 32]) -> (String, [u8; 32]) {
    let sized = |field: &[u8]| [&u32::try_from(field.len()).unwrap().to_le_bytes(), field].concat();
    let fields =
        [sized(&[b"sha256:\0", &digest[..]].concat()), sized(format!("{name}\0").as_bytes())].concat();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let template_hash = hex(&HashAlgorithm::DangerousSha1.digest(&[&fields]));
    (format!("10 {template_hash} ima-ng sha256:{} {name}\n", hex(&digest)), sha256(&fields))
}

/// The verdict on a machine that ran these files, by a rule for PCR 10 that allows files 2 and 3.
fn ran(files: &[(&str, [u8; 32])], change: impl Fn(&mut TpmEvidence)) -> Result<(), TpmRuleError> {
    let lines: Vec<_> = files.iter().map(|(name, digest)| measured(name, *digest)).collect();
    let value = lines.iter().fold([0; 32], |value, (_, digest)| sha256(&[value, *digest].concat()));
    let ima = lines.iter().map(|(line, _)| line.as_str()).collect::<String>().into_bytes();
    let accept =
        TpmAccept { pcrs: vec![judged(10)], ima: ImaRule::AllowList(vec![[2; 32], [3; 32]]), ..tpm_accept() };
    assert_eq!(check_tpm(&accept), Ok(()));
    let fixture = Fixture::new();
    let pcrs = [PcrValue { index: 10, value }];
    let mut evidence = evidence(&fixture, &pcrs, None);
    evidence.logs.ima = Some(ima);
    change(&mut evidence);
    rule_error(fixture.appraise(evidence, &[Accept::Tpm(accept)]))
}

#[test]
fn files_that_were_run_are_judged_by_the_ima_log() {
    let files = [("/bin/init", [2; 32]), ("/bin/agent", [3; 32])];
    assert_eq!(ran(&files, |_| ()), Ok(()));
    let unlisted = [files[0], ("/bin/rootkit", [4; 32])];
    assert_eq!(ran(&unlisted, |_| ()), Err(TpmRuleError::Ima(ImaRuleError::FileNotListed { number: 2 })));
    assert_eq!(ran(&files, |evidence| evidence.logs.ima = None), Err(TpmRuleError::NoLog { index: 10 }));
    let junk = |evidence: &mut TpmEvidence| evidence.logs.ima = Some(b"junk".to_vec());
    assert_eq!(ran(&files, junk), Err(TpmRuleError::ImaLog(ImaError::Malformed { number: 1 })));
    let other = |evidence: &mut TpmEvidence| {
        evidence.logs.ima = Some(measured("/bin/agent", [3; 32]).0.into_bytes());
    };
    assert_eq!(ran(&files, other), Err(TpmRuleError::ImaReplay(ImaReplayError::Value)));
    let longer = |evidence: &mut TpmEvidence| {
        evidence.logs.ima.as_mut().unwrap().extend(measured("/bin/agent", [3; 32]).0.into_bytes());
    };
    assert_eq!(ran(&files, longer), Err(TpmRuleError::ImaReplay(ImaReplayError::Longer)));
}

#[test]
fn rules_that_would_not_load_accept_nothing() {
    let log = LogBuilder::orderly();
    let fixture = Fixture::new();
    let mut evidence = evidence(&fixture, &log.pcrs(&[4, 10]), Some(log.encode()));
    evidence.logs.ima = Some(measured("/bin/agent", [2; 32]).0.into_bytes());
    let events = EventRules { boot_applications: rules().boot_applications, ..EventRules::NONE };
    let allowed = PcrRule { all_zero: Permission::Allowed, ..judged(10) };
    let no_list = TpmAccept { pcrs: vec![judged(4), allowed], events: events.clone(), ..tpm_accept() };
    let verdict = fixture.appraise(evidence.clone(), &[Accept::Tpm(no_list)]);
    assert_eq!(rule_error(verdict), Err(TpmRuleError::NoLog { index: 10 }));
    let ima = ImaRule::AllowList(vec![[2; 32]]);
    let by_value = PcrRule { all_zero: Permission::Allowed, ..pcr_rule(10, &[[0; 32]]) };
    let not_judged = TpmAccept { pcrs: vec![judged(4), by_value], events, ima, ..tpm_accept() };
    let verdict = fixture.appraise(evidence, &[Accept::Tpm(not_judged)]);
    assert_eq!(rule_error(verdict), Err(TpmRuleError::NoLog { index: 10 }));
}
