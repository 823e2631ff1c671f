//! What an event says: only as far as its digest covers it.

use vouchsafe_attestation::log::{
    BootAction, CoveredText, EventKind, EventLog, Guid, ImageLoad, Meaning, SecureBoot, SeparatorValue,
    UefiVariable,
};
use vouchsafe_crypto::verify::HashAlgorithm;

use crate::log_builder::{
    CALLING, EXIT_INVOCATION, EXIT_SUCCESS, LogBuilder, LogEvent, utf16, variable, with_boot,
};

const BANK: HashAlgorithm = HashAlgorithm::Sha256;

/// Looks at the meaning of one event.
fn look<T>(event: LogEvent, look: impl Fn(Meaning<'_>) -> T) -> T {
    let bytes = LogBuilder::of(vec![event]).encode();
    look(EventLog::parse(&bytes).unwrap().events()[0].meaning(BANK))
}

fn is_uncovered(event: LogEvent) -> bool {
    look(event, |meaning| meaning == Meaning::Uncovered)
}

fn text(measured: &[u8], logged: &[u8]) -> Option<CoveredText> {
    look(LogEvent::measured(8, EventKind::IPL, measured, logged), |meaning| match meaning {
        Meaning::Text(text) => Some(text),
        _ => None,
    })
}

#[test]
fn t6_data_that_the_digest_does_not_cover_says_nothing() {
    let value = variable(Guid::GLOBAL, "SecureBoot", &[1]);
    let covered = LogEvent::of(7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, &value);
    look(covered.clone(), |meaning| assert!(matches!(meaning, Meaning::Variable(_))));
    let mut changed = covered.clone();
    *changed.data.last_mut().unwrap() = 0;
    assert!(is_uncovered(changed));
    let mut remeasured = covered.clone();
    remeasured.digests[1].1[31] ^= 1;
    assert!(is_uncovered(remeasured));
    // What was never extended says nothing either, whatever its digest.
    assert!(is_uncovered(LogEvent { kind: EventKind::NO_ACTION, ..covered.clone() }));
    // The type plays no part.
    look(LogEvent { kind: EventKind::POST_CODE, ..covered }, |meaning| {
        assert!(matches!(meaning, Meaning::Variable(_)));
    });
}

#[test]
fn separators_and_actions_are_known_by_digest() {
    for (data, value) in [
        ([0; 4], SeparatorValue::Zero),
        ([0xff; 4], SeparatorValue::Ones),
        ([1, 0, 0, 0], SeparatorValue::Error),
        ([0, 0, 0, 1], SeparatorValue::Error),
    ] {
        let event = LogEvent::measured(1, EventKind::POST_CODE, &data, b"anything");
        look(event, |meaning| assert_eq!(meaning, Meaning::Separator(value)));
    }
    for (data, action) in [
        (CALLING, BootAction::CallingApplication),
        (b"Returning from EFI Application from Boot Option", BootAction::ReturningFromApplication),
        (EXIT_INVOCATION, BootAction::ExitInvocation),
        (b"Exit Boot Services Returned with Failure", BootAction::ExitFailure),
        (EXIT_SUCCESS, BootAction::ExitSuccess),
    ] {
        let event = LogEvent::measured(4, EventKind::POST_CODE, data, b"anything");
        look(event, |meaning| assert_eq!(meaning, Meaning::Action(action)));
    }
}

#[test]
fn variables_are_read_exactly() {
    let data = variable(Guid::GLOBAL, "SecureBoot", &[1]);
    let parsed = UefiVariable::parse(&data).unwrap();
    assert!(parsed.is(Guid::GLOBAL, "SecureBoot"));
    assert!(!parsed.is(Guid::SHIM_LOCK, "SecureBoot") && !parsed.is(Guid::GLOBAL, "SecureBoo"));
    assert_eq!((parsed.name().as_str(), parsed.value), ("SecureBoot", &[1][..]));
    assert_eq!(Guid::GLOBAL.to_string(), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
    assert_eq!(Guid::GLOBAL.0[..4], [0x61, 0xdf, 0xe4, 0x8b]);
    for len in 0..data.len() {
        assert_eq!(UefiVariable::parse(&data[..len]), None, "{len}");
    }
    assert_eq!(UefiVariable::parse(&[&data[..], &[0]].concat()), None);
    for at in [16, 24] {
        let mut huge = data.clone();
        huge[at..at + 8].fill(0xff);
        assert_eq!(UefiVariable::parse(&huge), None);
    }
}

#[test]
fn grub_text_is_covered_without_its_prefix() {
    let grub = |text: &str| Some(CoveredText::Grub(text.to_owned()));
    for prefix in
        ["grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ", "grub_kernel_cmdline ", ""]
    {
        let logged = format!("{prefix}linux /vmlinuz quiet\0");
        assert_eq!(
            text(b"linux /vmlinuz quiet", logged.as_bytes()),
            grub("linux /vmlinuz quiet"),
            "{prefix}"
        );
    }
    // RHEL 8 hashes the NUL, too.
    assert_eq!(text(b"insmod xfs\0", b"grub_cmd insmod xfs\0"), grub("insmod xfs"));
    assert_eq!(text(b"quiet", b"kernel_cmdline: quiet"), grub("quiet"));
    // Nothing else is left out or put back.
    assert_eq!(text(b"quiet", b"kernel_cmdline: quiet\0\0"), None);
    assert_eq!(text(b"quiet", b"kernel_cmdline:  quiet\0"), None);
    assert_eq!(text(b"quiet", b"other: quiet\0"), None);
    assert_eq!(text(b"loud", b"kernel_cmdline: quiet\0"), None);
    assert_eq!(text(b"a\0b", b"kernel_cmdline: a\0b\0"), None);
    assert_eq!(text(&[0xff, 0xfe], &[b"kernel_cmdline: ", &[0xff, 0xfe, 0][..]].concat()), None);
}

#[test]
fn systemd_text_is_covered_with_and_without_its_nul() {
    let systemd = |text: &str| Some(CoveredText::Systemd(text.to_owned()));
    let (bare, with_nul) = (utf16("console=ttyS0"), utf16("console=ttyS0\0"));
    assert_eq!(text(&bare, &with_nul), systemd("console=ttyS0"));
    // Old versions hash the NUL, and log one byte of it or none.
    assert_eq!(text(&with_nul, &with_nul[..with_nul.len() - 1]), systemd("console=ttyS0"));
    assert_eq!(text(&with_nul, &bare), systemd("console=ttyS0"));
    assert_eq!(text(&utf16("loud"), &utf16("quiet\0")), None);
    assert_eq!(text(&utf16("a\0b"), &utf16("a\0b\0")), None);
    assert_eq!(text(&bare, &[&bare[..], b"x"].concat()), None, "a byte that the digest does not cover");
    // Text that is logged as it was hashed is text all the same.
    assert_eq!(text(&with_nul, &with_nul), systemd("console=ttyS0"));
    assert_eq!(text(&bare, &bare), systemd("console=ttyS0"));
    assert_eq!(systemd("console=ttyS0").unwrap().as_str(), "console=ttyS0");
    // In PCR 12 it is always UTF-16, elsewhere no text at all.
    let in_pcr = |pcr, measured: &[u8]| {
        look(LogEvent::measured(pcr, EventKind::IPL, measured, measured), |meaning| {
            matches!(meaning, Meaning::Text(_))
        })
    };
    assert!(in_pcr(12, &bare) && !in_pcr(12, b"quiet") && in_pcr(8, b"quiet"));
    assert!(!in_pcr(9, &bare) && !in_pcr(9, b"quiet"));
    assert!(look(LogEvent::of(9, EventKind::IPL, b"quiet"), |meaning| meaning == Meaning::Data(b"quiet")));
}

#[test]
fn names_of_sections_are_covered_in_ascii() {
    let [name, content] = LogEvent::section(".linux", b"kernel");
    look(name.clone(), |meaning| assert_eq!(meaning, Meaning::SectionName(".linux".to_owned())));
    assert!(is_uncovered(content));
    let mut renamed = name;
    renamed.data = utf16(".initrd\0");
    assert!(is_uncovered(renamed));
    let [longest, _] = LogEvent::section(".linux12", b"kernel");
    look(longest, |meaning| assert_eq!(meaning, Meaning::SectionName(".linux12".to_owned())));
    let [long, _] = LogEvent::section(".linux123", b"kernel");
    assert!(is_uncovered(long));
    let [undotted, _] = LogEvent::section("linux", b"kernel");
    assert!(is_uncovered(undotted));
}

#[test]
fn images_are_known_by_their_digest_and_say_where_they_came_from() {
    let file = [&[4, 4][..], &(4 + 14u16).to_le_bytes(), &utf16("\\a.efi\0")].concat();
    let path = [&file[..], &[0x7f, 0xff, 4, 0]].concat();
    let load =
        [&[0; 8][..], &77u64.to_le_bytes(), &[0; 8], &(path.len() as u64).to_le_bytes(), &path].concat();
    let event = LogEvent::measured(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, b"image", &load);
    look(event.clone(), |meaning| {
        let Meaning::Image(image) = meaning else { panic!("{meaning:?}") };
        assert_eq!((image.image_len, image.file_path().as_str()), (77, "\\a.efi"));
    });
    assert!(is_uncovered(LogEvent { kind: EventKind::IPL, ..event }));
    // What stands behind the end of the path is none of it.
    let mut behind = load.clone();
    behind[24..32].copy_from_slice(&(path.len() as u64 + file.len() as u64).to_le_bytes());
    behind.extend(&file);
    assert_eq!(ImageLoad::parse(&behind).unwrap().file_path(), "\\a.efi");
    for len in 0..load.len() {
        assert_eq!(ImageLoad::parse(&load[..len]), None, "{len}");
    }
    // A node that is shorter than its own head, or longer than the path, ends the path.
    for len in [0u16, 3, 0xffff] {
        let mut broken = load.clone();
        broken[34..36].copy_from_slice(&len.to_le_bytes());
        assert_eq!(ImageLoad::parse(&broken).unwrap().file_path(), "");
    }
}

fn secure_boot(change: impl Fn(&mut LogBuilder)) -> Option<bool> {
    let mut log = LogBuilder::orderly();
    change(&mut log);
    with_boot(&log, |boot| boot.secure_boot().unwrap().enabled)
}

fn is_secure_boot(event: &LogEvent) -> bool {
    UefiVariable::parse(&event.data).is_some_and(|variable| variable.is(Guid::GLOBAL, "SecureBoot"))
}

#[test]
fn t6_secure_boot_is_what_was_measured_once_before_the_separator() {
    assert_eq!(secure_boot(|_| ()), Some(true));
    let set = |value: &'static [u8]| {
        secure_boot(move |log| {
            *log.find(is_secure_boot) = LogEvent::variable(Guid::GLOBAL, "SecureBoot", value)
        })
    };
    assert_eq!(set(&[0]), Some(false));
    assert_eq!(set(&[]), Some(false));
    assert_eq!(set(&[2]), None);
    assert_eq!(set(&[1, 1]), None);
    // Not measured, measured twice, under another name, or logged with data that was not measured.
    assert_eq!(secure_boot(|log| log.events.retain(|event| !is_secure_boot(event))), None);
    assert_eq!(
        secure_boot(|log| log.events.insert(0, LogEvent::variable(Guid::GLOBAL, "SecureBoot", &[1]))),
        None
    );
    assert_eq!(
        secure_boot(|log| *log.find(is_secure_boot) = LogEvent::variable(Guid::SHIM_LOCK, "SecureBoot", &[1])),
        None
    );
    let relabelled = |log: &mut LogBuilder| {
        *log.find(is_secure_boot) = LogEvent::variable(Guid::GLOBAL, "SecureBoot", &[0]);
        log.find(is_secure_boot).data = variable(Guid::GLOBAL, "SecureBoot", &[1]);
    };
    assert_eq!(secure_boot(relabelled), None);
}

#[test]
fn the_databases_of_secure_boot_are_those_measured_before_the_separator() {
    with_boot(&LogBuilder::orderly(), |boot| {
        let expected = SecureBoot {
            enabled: Some(true),
            platform_key: Some(b"pk"),
            exchange_keys: Some(b"kek"),
            // Behind the separator, entries that vouched for an image are measured under the same name.
            allowed: Some(b"db"),
            forbidden: Some(b"dbx"),
        };
        assert_eq!(boot.secure_boot(), Some(expected));
    });
}

#[test]
fn what_is_decoded_for_people_is_bounded() {
    let line = |len: usize| {
        let logged = ["kernel_cmdline: ", &"a".repeat(len), "\0"].concat();
        text("a".repeat(len).as_bytes(), logged.as_bytes())
    };
    let most = 64 * 1024 - "kernel_cmdline: ".len() - 1;
    assert!(line(most).is_some() && line(most + 1).is_none());
    let data = variable(Guid::GLOBAL, &"a".repeat(1000), &[]);
    assert_eq!(UefiVariable::parse(&data).unwrap().name().len(), 256);
    let path = |len: usize| {
        let node =
            [&[4, 4][..], &u16::try_from(len).unwrap().to_le_bytes(), &utf16(&"a".repeat(len / 2 - 2))]
                .concat();
        let load = [&[0; 24][..], &(node.len() as u64).to_le_bytes(), &node].concat();
        ImageLoad::parse(&load).unwrap().file_path().len()
    };
    assert_eq!((path(4096), path(4098)), (2046, 0));
}
