//! T6, T7, T8, T9: boot event logs beside a quote, and alone.

use std::collections::BTreeMap;

use serde_json::json;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_simulation::SimulationError;

use super::super::add::{Added, Cases, case};
use super::super::boot::{
    ACTION, APPLICATION, EFI_ACTION, Event, IPL, JUDGED, NO_ACTION, SEPARATOR, agile, boot, encode, event,
    header, locality, policy, replay, secure_boot, sha1_event,
};
use super::super::tpm_world::pcr_file;
use super::TpmCase;
use crate::schema::{Case, Expect};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    sent(cases)?;
    orderly(cases)?;
    rules(cases)?;
    starts(cases)?;
    alone(cases);
    forms(cases);
    Ok(())
}

/// A boot's quote, judged by its events.
fn booted<'c, 'w>(
    cases: &'c mut Cases<'w>,
    id: &str,
    name: &str,
    values: &[PcrValue],
    log: &[u8],
) -> Result<TpmCase<'c, 'w>, SimulationError> {
    Ok(cases.tpm(id, name)?.quoting(values).policy(policy()).file("event_log", Some(log.to_vec())))
}

/// The log that was sent is not the boot's: its values stay.
fn sent(cases: &mut Cases<'_>) -> Added {
    let events = boot();
    let values = replay(&events, &JUDGED, 0);
    booted(cases, "T6", "log-good", &values, &encode(&events))?.accepted()?;
    type Change = fn(&mut Vec<Event>);
    let changes: [(&str, &str, Change, Option<&str>); 17] = [
        (
            "T6",
            "log-separator-called-an-action",
            |log| retype(log, 0, SEPARATOR, ACTION),
            Some("tpm.log.separator.retyped"),
        ),
        (
            "T6",
            "log-firmware-called-a-separator",
            |log| retype_first(log, 0, SEPARATOR),
            Some("tpm.log.separator.spoofed"),
        ),
        (
            "T6",
            "log-firmware-called-no-action",
            |log| retype_first(log, 0, NO_ACTION),
            Some("tpm.log.replay"),
        ),
        ("T6", "log-application-called-something-else", |log| retype(log, 4, APPLICATION, IPL), None),
        ("T6", "log-reordered-between-pcrs", |log| log.swap(0, 1), None),
        ("T6", "log-reordered-in-a-pcr", |log| swap_kinds(log, 4), Some("tpm.log.replay")),
        ("T6", "log-event-doubled", |log| double(log, 0), Some("tpm.log.replay")),
        ("T6", "log-digest-changed", |log| flip_digest(log, 4), Some("tpm.log.replay")),
        ("T6", "log-data-changed-that-no-digest-covers", |log| change_data(log, APPLICATION), None),
        (
            "T6",
            "log-data-changed-that-a-digest-covers",
            |log| change_data(log, 0x8000_0001),
            Some("tpm.event.secure-boot-unknown"),
        ),
        ("T6", "log-phase-in-another-pcr", |log| log.push(event(12, IPL, b"ready")), None),
        ("T6", "log-event-moved-to-another-pcr", |log| move_first(log, 0, 3), Some("tpm.log.replay")),
        ("T7", "log-longer-than-the-pcr", |log| log.push(event(11, IPL, b"more")), Some("tpm.log.longer")),
        ("T7", "log-longer-by-a-doubled-last-event", |log| double_last(log, 11), Some("tpm.log.longer")),
        (
            "T7",
            "log-without-its-last-event",
            |log| {
                log.pop();
            },
            Some("tpm.log.shorter"),
        ),
        (
            "T7",
            "log-without-its-first-event",
            |log| {
                log.remove(0);
            },
            Some("tpm.log.replay"),
        ),
        ("T7", "log-of-another-boot", |log| *log = other_boot(), Some("tpm.log.replay")),
    ];
    for (id, name, change, code) in changes {
        let mut log = events.clone();
        change(&mut log);
        let case = booted(cases, id, name, &values, &encode(&log))?;
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    booted(cases, "T7", "log-not-sent", &values, &[])?.file("event_log", None).refused("tpm.log.missing")?;
    booted(cases, "T8", "log-empty", &values, &[])?.refused("tpm.log.empty")?;
    booted(cases, "T8", "log-that-is-none", &values, &[0xab; 100])?.refused("tpm.log.truncated")
}

fn retype(log: &mut [Event], pcr: u32, from: u32, to: u32) {
    if let Some(event) = log.iter_mut().find(|event| event.pcr == pcr && event.kind == from) {
        event.kind = to;
    }
}

fn retype_first(log: &mut [Event], pcr: u32, to: u32) {
    if let Some(event) = log.iter_mut().find(|event| event.pcr == pcr) {
        event.kind = to;
    }
}

fn swap_kinds(log: &mut [Event], pcr: u32) {
    let places: Vec<usize> =
        log.iter().enumerate().filter(|(_, event)| event.pcr == pcr).map(|(at, _)| at).collect();
    if let [.., one, other] = places.as_slice() {
        log.swap(*one, *other);
    }
}

fn double(log: &mut Vec<Event>, pcr: u32) {
    if let Some(at) = log.iter().position(|event| event.pcr == pcr)
        && let Some(event) = log.get(at).cloned()
    {
        log.insert(at, event);
    }
}

fn double_last(log: &mut Vec<Event>, pcr: u32) {
    if let Some(event) = log.iter().rfind(|event| event.pcr == pcr).cloned() {
        log.push(event);
    }
}

fn flip_digest(log: &mut [Event], pcr: u32) {
    if let Some(event) = log.iter_mut().rfind(|event| event.pcr == pcr) {
        event.digest = [0x77; 32];
    }
}

fn change_data(log: &mut [Event], kind: u32) {
    if let Some(last) =
        log.iter_mut().find(|event| event.kind == kind).and_then(|event| event.data.last_mut())
    {
        *last ^= 1;
    }
}

fn move_first(log: &mut [Event], from: u32, to: u32) {
    if let Some(event) = log.iter_mut().find(|event| event.pcr == from) {
        event.pcr = to;
    }
}

fn other_boot() -> Vec<Event> {
    let mut other = boot();
    if let Some(first) = other.first_mut() {
        *first = event(0, 8, b"corpus firmware 2");
    }
    other
}

/// The machine itself booted in another way: log and values agree.
fn orderly(cases: &mut Cases<'_>) -> Added {
    type Change = fn(&mut Vec<Event>);
    let changes: [(&str, Change, &str); 7] = [
        ("second-separator", |log| log.insert(11, event(0, SEPARATOR, &[0; 4])), "tpm.log.separator.twice"),
        (
            "no-separator",
            |log| log.retain(|event| event.pcr != 7 || event.kind != SEPARATOR),
            "tpm.log.separator.missing",
        ),
        ("error-separator", |log| make_separator(log, &[1, 0, 0, 0]), "tpm.log.separator.error"),
        ("event-behind-the-separator", |log| log.insert(11, event(0, 8, b"late")), "tpm.log.after-separator"),
        (
            "secure-boot-set-behind-the-separator",
            |log| log.insert(11, secure_boot(true)),
            "tpm.log.after-separator",
        ),
        (
            "event-behind-the-end-of-boot-services",
            |log| log.push(event(4, EFI_ACTION, b"late")),
            "tpm.log.after-exit",
        ),
        (
            "all-zero-digest",
            |log| log.insert(0, Event { pcr: 0, kind: 8, digest: [0; 32], data: vec![] }),
            "tpm.log.zero-digest",
        ),
    ];
    for (name, change, code) in changes {
        let mut log = boot();
        change(&mut log);
        let values = replay(&log, &JUDGED, 0);
        booted(cases, "T7", &format!("boot-with-{name}"), &values, &encode(&log))?
            .also("T6")
            .refused(code)?;
    }
    let mut ones = boot();
    make_separator(&mut ones, &[0xff; 4]);
    let values = replay(&ones, &JUDGED, 0);
    booted(cases, "T7", "boot-with-a-separator-of-ones", &values, &encode(&ones))?.accepted()
}

fn make_separator(log: &mut [Event], data: &[u8]) {
    if let Some(found) = log.iter_mut().find(|event| event.pcr == 0 && event.kind == SEPARATOR) {
        *found = event(0, SEPARATOR, data);
    }
}

/// What was booted, by rules over events.
fn rules(cases: &mut Cases<'_>) -> Added {
    type Change = fn(&mut Vec<Event>);
    let changes: [(&str, Change, Option<&str>); 6] = [
        (
            "secure-boot-off",
            |log| replace(log, 0x8000_0001, secure_boot(false)),
            Some("tpm.event.secure-boot"),
        ),
        (
            "another-application",
            |log| {
                replace(
                    log,
                    APPLICATION,
                    Event { pcr: 4, kind: APPLICATION, digest: [0xb1; 32], data: vec![] },
                )
            },
            Some("tpm.event.boot-application"),
        ),
        ("another-kernel", |log| flip_digest(log, 11), Some("tpm.event.uki-section")),
        ("another-section", |log| log.insert(14, event(11, IPL, b".splash\0")), Some("tpm.event.unlisted")),
        ("another-firmware", |log| *log = other_boot(), Some("tpm.event.unlisted")),
        (
            "no-secure-boot-variable",
            |log| log.retain(|event| event.kind != 0x8000_0001),
            Some("tpm.event.secure-boot-unknown"),
        ),
    ];
    for (name, change, code) in changes {
        let mut log = boot();
        change(&mut log);
        let values = replay(&log, &JUDGED, 0);
        let case = booted(cases, "T6", &format!("booted-{name}"), &values, &encode(&log))?;
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    let other = other_boot();
    let values = replay(&other, &JUDGED, 0);
    booted(cases, "T6", "booted-another-firmware-where-any-does", &values, &encode(&other))?
        .policy(json!({ "events": { "unknown_events": [0] } }))
        .accepted()?;
    // systemd extended a phase behind the log.
    let log = boot();
    let mut later = log.clone();
    later.push(event(11, IPL, b"enter-initrd"));
    let values = replay(&later, &JUDGED, 0);
    booted(cases, "T6", "booted-into-the-initrd", &values, &encode(&log))?.refused("tpm.event.boot-phase")?;
    booted(cases, "T6", "booted-into-the-initrd-where-that-does", &values, &encode(&log))?
        .policy(json!({ "events": { "boot_phases": ["initrd"] } }))
        .accepted()
}

fn replace(log: &mut [Event], kind: u32, with: Event) {
    if let Some(found) = log.iter_mut().find(|event| event.kind == kind) {
        *found = with;
    }
}

/// Start values and banks.
fn starts(cases: &mut Cases<'_>) -> Added {
    let events = boot();
    for (at, code) in [(3u8, None), (4, None), (0, None)] {
        let log = [vec![locality(at)], events.clone()].concat();
        let values = replay(&log, &JUDGED, at);
        let case = booted(cases, "T7", &format!("log-with-startup-locality-{at}"), &values, &encode(&log))?;
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    let at_three = replay(&events, &JUDGED, 3);
    booted(cases, "T7", "log-that-hides-its-startup-locality", &at_three, &encode(&events))?
        .refused("tpm.log.replay")?;
    let log = [vec![locality(3)], events.clone()].concat();
    let at_zero = replay(&events, &JUDGED, 0);
    booted(cases, "T7", "log-that-makes-up-a-startup-locality", &at_zero, &encode(&log))?
        .refused("tpm.log.replay")?;
    for wrong in [1u8, 2, 5, 255] {
        let log = [vec![locality(wrong)], events.clone()].concat();
        booted(cases, "T8", &format!("log-with-startup-locality-{wrong}"), &at_zero, &encode(&log))?
            .refused("tpm.log.startup-locality")?;
    }
    let sha1: Vec<u8> =
        events.iter().flat_map(|event| sha1_event(event.pcr, event.kind, &[1; 20], &event.data)).collect();
    booted(cases, "T9", "log-of-the-old-format", &at_zero, &sha1)?.refused("tpm.log.bank-absent")?;
    let mut two = header(&[(0x0004, 20), (0x000b, 32)]);
    two.extend(events.iter().flat_map(agile));
    // One event without a SHA-256 digest.
    two.extend([0u32.to_le_bytes(), 8u32.to_le_bytes(), 1u32.to_le_bytes()].concat());
    two.extend(0x0004_u16.to_le_bytes());
    two.extend([1; 20]);
    two.extend(0u32.to_le_bytes());
    booted(cases, "T9", "log-with-an-event-of-sha1-alone", &at_zero, &two)?.refused("tpm.log.digest-missing")
}

/// A log alone: its part in the case is also how its kind begins.
pub(super) fn push(cases: &mut Cases<'_>, part: &str, name: &str, bytes: Vec<u8>, code: Option<&str>) {
    let kind = if part == "ima_log" { "ima-parse" } else { "log-parse" };
    let alone = Case {
        kind: kind.to_owned(),
        expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
        code: code.map(str::to_owned),
        ..case("T8", name, json!({}))
    };
    cases.push(alone, BTreeMap::from([(part.to_owned(), bytes)]));
}

/// Kind event-log: a log and values, without a quote.
fn alone(cases: &mut Cases<'_>) {
    let events = boot();
    let values: Vec<_> =
        replay(&events, &JUDGED, 0).iter().map(|pcr| (pcr.index, pcr.value.to_vec())).collect();
    let mut unexplained = values.clone();
    unexplained.push((14, vec![0x14; 32]));
    let mut untouched = values.clone();
    untouched.push((14, vec![0; 32]));
    let all = [
        ("good", values.clone(), encode(&events), false, None),
        ("good-with-an-untouched-pcr", untouched, encode(&events), false, None),
        (
            "with-a-pcr-that-it-does-not-explain",
            unexplained,
            encode(&events),
            false,
            Some("tpm.log.unexplained"),
        ),
        ("of-another-boot", values.clone(), encode(&other_boot()), false, Some("tpm.log.replay")),
        ("good-of-an-orderly-boot", values, encode(&events), true, None),
    ];
    for (label, values, log, measured_boot, code) in all {
        let alone = Case {
            kind: "event-log".to_owned(),
            expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
            code: code.map(str::to_owned),
            ..case("T7", &format!("alone-log-{label}"), json!({ "measured_boot": measured_boot }))
        };
        let files = [("event_log".to_owned(), log), ("pcrs".to_owned(), pcr_file("sha256", &values))];
        cases.push(alone, files.into());
    }
}

/// T8, kind log-parse: lengths and counts.
fn forms(cases: &mut Cases<'_>) {
    let head = header(&[(0x000b, 32)]);
    let good = encode(&boot());
    let mut put = |name: &str, bytes: Vec<u8>, code: Option<&str>| {
        push(cases, "event_log", &format!("parse-log-{name}"), bytes, code);
    };
    put("good", good.clone(), None);
    put("good-header-alone", head.clone(), None);
    put("good-old-format", sha1_event(0, 8, &[1; 20], b"x"), None);
    put("empty", Vec::new(), Some("tpm.log.empty"));
    for len in [1, 4, 31, 32, 40] {
        put(
            &format!("cut-to-{len}-bytes"),
            good.iter().copied().take(len).collect(),
            Some("tpm.log.truncated"),
        );
    }
    put(
        "cut-in-its-last-event",
        good.iter().copied().take(good.len() - 1).collect(),
        Some("tpm.log.truncated"),
    );
    put("with-three-bytes-more", [good.clone(), vec![1, 2, 3]].concat(), Some("tpm.log.truncated"));
    // The length of the data of an event, where there is none: 1, 17 and the most that can be said.
    let event_of = |size: u32| {
        let mut bytes = agile(&event(0, 8, b""));
        bytes.truncate(bytes.len() - 4);
        [head.clone(), bytes, size.to_le_bytes().to_vec()].concat()
    };
    put("good-event-of-no-data", event_of(0), None);
    for size in [1u32, 17, 0x7fff_ffff, u32::MAX] {
        put(&format!("event-of-{size}-bytes-that-are-not-there"), event_of(size), Some("tpm.log.truncated"));
    }
    let counted = |count: u32| {
        let digest = [0x0b_u8, 0].iter().copied().chain([1; 32]).collect::<Vec<_>>();
        let head_of_event = [0u32.to_le_bytes(), 8u32.to_le_bytes(), count.to_le_bytes()].concat();
        [head.clone(), head_of_event, digest.clone(), digest, vec![0; 4]].concat()
    };
    put("event-of-no-digest", counted(0), Some("tpm.log.digest-count"));
    put("event-of-two-digests-where-one-is-announced", counted(2), Some("tpm.log.digest-count"));
    put("event-of-the-most-digests", counted(u32::MAX), Some("tpm.log.digest-count"));
    let mut unknown = agile(&event(0, 8, b"x"));
    unknown.iter_mut().skip(12).take(1).for_each(|byte| *byte = 0x77);
    put(
        "digest-of-an-algorithm-not-announced",
        [head.clone(), unknown].concat(),
        Some("tpm.log.digest-algorithm"),
    );
    let twice = [0u32.to_le_bytes(), 8u32.to_le_bytes(), 2u32.to_le_bytes()].concat();
    let digest = [0x0b_u8, 0].iter().copied().chain([1; 32]).collect::<Vec<_>>();
    let two = header(&[(0x0004, 20), (0x000b, 32)]);
    put(
        "one-digest-twice",
        [two, twice, digest.clone(), digest, vec![0; 4]].concat(),
        Some("tpm.log.digest-twice"),
    );
    for pcr in [24u32, 0x0100_0000, u32::MAX] {
        let log = [head.clone(), agile(&event(pcr, 8, b"x"))].concat();
        put(&format!("event-for-pcr-{pcr:#x}"), log, Some("tpm.log.pcr-index"));
    }
    for (label, algorithms) in [
        ("none", vec![]),
        ("one-twice", vec![(0x000b, 32), (0x000b, 32)]),
        ("a-wrong-length", vec![(0x000b, 20)]),
        ("the-most", vec![(0x000b, 32); 200]),
    ] {
        put(&format!("header-that-announces-{label}"), header(&algorithms), Some("tpm.log.algorithms"));
    }
    let two_localities = [vec![locality(3), locality(4)], boot()].concat();
    put("two-startup-localities", encode(&two_localities), Some("tpm.log.startup-locality"));
}
