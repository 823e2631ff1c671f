//! IMA logs: built in both forms, with template data put together by the kernel's definition.

use vouchsafe_attestation::log::LOG_LEN;
use vouchsafe_attestation::log::ima::{
    BootAggregate, Form, ImaError, ImaLog, ImaReplayError, ImaRuleError, Template, check_files,
};
use vouchsafe_crypto::verify::HashAlgorithm;

const SHA1: HashAlgorithm = HashAlgorithm::DangerousSha1;
const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

#[derive(Clone)]
struct Measured {
    pcr: u8,
    template: &'static str,
    algorithm: &'static str,
    digest: Vec<u8>,
    name: &'static str,
    signature: Vec<u8>,
    /// Fields `d-modsig` (SHA-256, empty if there is none) and `modsig` of template `ima-modsig`.
    appended: (Vec<u8>, Vec<u8>),
    violation: bool,
}

/// A file measured by template `ima-ng`.
fn file(name: &'static str, digest: u8) -> Measured {
    Measured {
        pcr: 10,
        template: "ima-ng",
        algorithm: "sha256",
        digest: vec![digest; 32],
        name,
        signature: Vec::new(),
        appended: (Vec::new(), Vec::new()),
        violation: false,
    }
}

fn old(name: &'static str) -> Measured {
    Measured { template: "ima", algorithm: "sha1", digest: vec![7; 20], ..file(name, 0) }
}

fn signed(name: &'static str, signature: &[u8]) -> Measured {
    Measured { template: "ima-sig", signature: signature.to_vec(), ..file(name, 3) }
}

/// A buffer, as kernels log it whatever template they were told.
fn buffer(name: &'static str, content: &[u8]) -> Measured {
    let digest = SHA256.digest(&[content]);
    Measured { template: "ima-buf", signature: content.to_vec(), digest, ..file(name, 0) }
}

fn typed(template: &'static str, algorithm: &'static str, digest: u8) -> Measured {
    Measured { template, algorithm, ..file("/usr/bin/typed", digest) }
}

fn appended(signature: &[u8], digest: &[u8], appended: &[u8]) -> Measured {
    Measured {
        template: "ima-modsig",
        signature: signature.to_vec(),
        appended: (digest.to_vec(), appended.to_vec()),
        ..file("/lib/modules/a module.ko", 5)
    }
}

fn violation(name: &'static str) -> Measured {
    Measured { violation: true, ..file(name, 0) }
}

fn sized(data: &[u8]) -> Vec<u8> {
    [&u32::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Measured {
    fn template_data(&self) -> Vec<u8> {
        if self.template == "ima" {
            let mut name = self.name.as_bytes().to_vec();
            name.resize(256, 0);
            return [self.digest.clone(), name].concat();
        }
        let digest = [self.algorithm.as_bytes(), b":\0", &self.digest].concat();
        let mut data = [sized(&digest), sized(format!("{}\0", self.name).as_bytes())].concat();
        if ["ima-buf", "ima-modsig", "ima-sig", "ima-sigv2"].contains(&self.template) {
            data.extend(sized(&self.signature));
        }
        if self.template == "ima-modsig" {
            let (digest, signature) = &self.appended;
            let digest = if digest.is_empty() { Vec::new() } else { [b"sha256:\0", &digest[..]].concat() };
            data.extend([sized(&digest), sized(signature)].concat());
        }
        data
    }

    fn template_hash(&self, bank: HashAlgorithm) -> Vec<u8> {
        if self.violation { vec![0; bank.len()] } else { bank.digest(&[&self.template_data()]) }
    }

    fn line(&self) -> String {
        let hash = hex(&self.template_hash(SHA1));
        let Self { pcr, template, algorithm, name, .. } = self;
        let digest = hex(&self.digest);
        match *template {
            "ima" => format!("{pcr:2} {hash} ima {digest} {name}\n"),
            "ima-buf" | "ima-sig" | "ima-sigv2" => {
                format!("{pcr:2} {hash} {template} {algorithm}:{digest} {name} {}\n", hex(&self.signature))
            }
            "ima-modsig" => {
                let (appended, signature) = (hex(&self.appended.0), hex(&self.appended.1));
                let appended = if appended.is_empty() { appended } else { format!("sha256:{appended}") };
                let own = hex(&self.signature);
                format!(
                    "{pcr:2} {hash} ima-modsig {algorithm}:{digest} {name} {own} {appended} {signature}\n"
                )
            }
            _ => format!("{pcr:2} {hash} {template} {algorithm}:{digest} {name}\n"),
        }
    }

    fn record(&self) -> Vec<u8> {
        let data = if self.template == "ima" {
            [self.digest.clone(), sized(self.name.as_bytes())].concat()
        } else {
            sized(&self.template_data())
        };
        [
            u32::from(self.pcr).to_le_bytes().to_vec(),
            self.template_hash(SHA1),
            sized(self.template.as_bytes()),
            data,
        ]
        .concat()
    }
}

fn ascii(entries: &[Measured]) -> Vec<u8> {
    entries.iter().map(Measured::line).collect::<String>().into_bytes()
}

fn binary(entries: &[Measured]) -> Vec<u8> {
    entries.iter().flat_map(Measured::record).collect()
}

/// What PCR 10 holds.
fn value(entries: &[Measured], bank: HashAlgorithm) -> Vec<u8> {
    entries.iter().filter(|entry| entry.pcr == 10).fold(vec![0; bank.len()], |value, entry| {
        let digest = if entry.violation { vec![0xff; bank.len()] } else { entry.template_hash(bank) };
        bank.digest(&[&value, &digest])
    })
}

fn entries() -> Vec<Measured> {
    vec![
        file("boot_aggregate", 1),
        file("/usr/bin/init", 2),
        signed("/usr/bin/signed", &[3, 2, 4]),
        signed("/usr/bin/two words", &[]),
        violation("/var/log/messages"),
        old("/etc/passwd"),
    ]
}

#[test]
fn both_forms_replay_in_both_banks() {
    let entries = entries();
    for (bytes, form) in [(ascii(&entries), Form::Ascii), (binary(&entries), Form::Binary)] {
        let log = ImaLog::parse(&bytes).unwrap();
        assert_eq!((log.form(), log.entry_count()), (form, 6));
        for bank in [SHA1, SHA256, HashAlgorithm::Sha384] {
            assert!(log.confirm(bank, &value(&entries, bank)).is_ok(), "{form:?} {bank:?}");
        }
        let read: Vec<_> = log.entries().map(Result::unwrap).collect();
        assert_eq!(read[0].template, Template::ImaNg);
        assert_eq!((read[2].template, read[5].template), (Template::ImaSig, Template::Ima));
        let files: Vec<_> = read.iter().map(|entry| entry.file.clone().unwrap()).collect();
        assert_eq!((files[1].name, files[1].algorithm), (&b"/usr/bin/init"[..], &b"sha256"[..]));
        assert_eq!(files[1].digest.as_ref(), [2; 32]);
        assert_eq!((files[2].name, &files[2].signature[..]), (&b"/usr/bin/signed"[..], &[3, 2, 4][..]));
        assert_eq!((files[3].name, files[3].signature.len()), (&b"/usr/bin/two words"[..], 0));
        assert_eq!((files[5].algorithm, files[5].digest.as_ref()), (&b"sha1"[..], &[7; 20][..]));
        assert!(read[4].is_violation() && !read[3].is_violation());
    }
    // A violation has no hash that could tell where its name ends; the kernel gives it no signature.
    let text = ascii(&[Measured { violation: true, ..signed("/var/log/two words", &[]) }]);
    let read = ImaLog::parse(&text).unwrap().entries().next().unwrap().unwrap();
    assert_eq!(read.file.unwrap().name, b"/var/log/two words");
    // The last line may lack its line feed.
    let text = ascii(&entries);
    assert!(ImaLog::parse(&text[..text.len() - 1]).is_ok());
}

/// The log of a kernel with `ima_policy=critical_data` and kexec, template `ima-ngv2`, and what else may stand in one.
fn newer_entries() -> Vec<Measured> {
    vec![
        Measured { name: "boot_aggregate", ..typed("ima-ngv2", "ima:sha256", 1) },
        buffer("kernel_version", b"6.8.0"),
        buffer("kexec-cmdline", b"quiet root=/dev/vda1"),
        buffer("empty", b""),
        typed("ima-ngv2", "verity:sha256", 2),
        Measured { signature: vec![3, 2, 4], ..typed("ima-sigv2", "ima:sha512", 3) },
        typed("ima-sigv2", "verity:sha256", 4),
        appended(&[3, 2, 4], &[6; 32], &[0x30, 0x82]),
        appended(&[], &[6; 32], &[0x30, 0x82]),
        appended(&[3, 2, 4], &[], &[]),
        appended(&[], &[], &[]),
        file("/usr/bin/init", 2),
    ]
}

#[test]
fn newer_templates_replay_in_both_forms() {
    let entries = newer_entries();
    for bytes in [ascii(&entries), binary(&entries)] {
        let log = ImaLog::parse(&bytes).unwrap();
        for bank in [SHA1, SHA256, HashAlgorithm::Sha384] {
            assert!(log.confirm(bank, &value(&entries, bank)).is_ok(), "{bank:?}");
        }
        let read: Vec<_> = log.entries().map(Result::unwrap).collect();
        let template = |index: usize| read[index].template;
        assert_eq!(
            (template(0), template(1), template(5)),
            (Template::ImaNgV2, Template::ImaBuf, Template::ImaSigV2)
        );
        assert_eq!((template(7), template(11)), (Template::ImaModsig, Template::ImaNg));
        assert!(read[1..4].iter().all(|entry| entry.file.is_none()));
        let file = |index: usize| read[index].file.clone().unwrap();
        assert_eq!((file(0).digest_type, file(0).algorithm), (&b"ima"[..], &b"sha256"[..]));
        assert_eq!((file(4).digest_type, file(4).algorithm), (&b"verity"[..], &b"sha256"[..]));
        assert_eq!((file(5).algorithm, &file(5).signature[..]), (&b"sha512"[..], &[3, 2, 4][..]));
        assert_eq!(
            (file(7).name, &file(7).signature[..]),
            (&b"/lib/modules/a module.ko"[..], &[3, 2, 4][..])
        );
        assert_eq!((file(8).signature.len(), file(9).signature.len()), (0, 3));
        assert_eq!((file(11).digest_type, file(11).digest.as_ref()), (&b"ima"[..], &[2; 32][..]));
    }
    // Whoever stores text may have cut off the spaces that stand before empty fields.
    let trimmed: String = String::from_utf8(ascii(&entries))
        .unwrap()
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    assert!(ImaLog::parse(trimmed.as_bytes()).unwrap().confirm(SHA256, &value(&entries, SHA256)).is_ok());
}

#[test]
fn t6_a_changed_field_of_a_newer_template_is_refused() {
    let text = String::from_utf8(ascii(&newer_entries())).unwrap();
    for (from, to, number) in [
        (" ima:sha256:", " verity:sha256:", 1),
        ("kernel_version", "kernel_versiom", 2),
        ("362e382e30", "362e382e31", 2),
        ("verity:sha256", "verity:sha384", 5),
        ("030204", "030205", 6),
        ("sha256:06", "sha256:07", 8),
        ("3082", "3083", 8),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let verdict = ImaLog::parse(changed.as_bytes()).map(|_| ());
        assert_eq!(verdict, Err(ImaError::TemplateHash { number }), "{from}");
    }
}

#[test]
fn newer_templates_of_another_form_are_refused() {
    let malformed = Err(ImaError::Malformed { number: 1 });
    // A digest with a type in a template without, one without in a template with, two types.
    for entry in [
        typed("ima-ng", "ima:sha256", 1),
        typed("ima-buf", "ima:sha256", 1),
        typed("ima-ngv2", "sha256", 1),
        typed("ima-ngv2", "ima:verity:sha256", 1),
    ] {
        assert_eq!(
            ImaLog::parse(&ascii(std::slice::from_ref(&entry))).map(|_| ()),
            malformed,
            "{}",
            entry.line()
        );
        assert_eq!(
            ImaLog::parse(&binary(std::slice::from_ref(&entry))).map(|_| ()),
            malformed,
            "{}",
            entry.line()
        );
    }
    // A field too many, one too few, an appended digest of another form.
    let record = |template: &str, data: &[u8]| {
        let hash = SHA1.digest(&[data]);
        [&10u32.to_le_bytes()[..], &hash, &sized(template.as_bytes()), &sized(data)].concat()
    };
    let verdict = |template: &str, data: &[u8]| ImaLog::parse(&record(template, data)).map(|_| ());
    let buffer = buffer("kexec-cmdline", b"quiet").template_data();
    assert_eq!(verdict("ima-buf", &buffer), Ok(()));
    assert_eq!(verdict("ima-buf", &[&buffer[..], &sized(b"")].concat()), malformed);
    assert_eq!(verdict("ima-modsig", &[&buffer[..], &sized(b"")].concat()), malformed);
    assert_eq!(verdict("ima-modsig", &[&buffer[..], &sized(b""), &sized(b"")].concat()), Ok(()));
    assert_eq!(verdict("ima-modsig", &[&buffer[..], &sized(b"sha256"), &sized(b"")].concat()), malformed);
    // An unknown template is carried along by its bytes.
    assert_eq!(verdict("evm-sig", &buffer[..9]), Ok(()));
}

#[test]
fn a_text_log_of_another_bank_is_read() {
    for bank in [SHA256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let entry = file("/usr/bin/init", 2);
        let line = entry.line().replace(&hex(&entry.template_hash(SHA1)), &hex(&entry.template_hash(bank)));
        let log = ImaLog::parse(line.as_bytes()).unwrap();
        assert!(log.confirm(bank, &value(&[entry], bank)).is_ok());
    }
}

#[test]
fn names_of_a_binary_log_are_bounded() {
    let named =
        |template: &[u8], data: &[u8]| [&10u32.to_le_bytes()[..], &[0; 20], &sized(template), data].concat();
    let parses = |bytes: &[u8]| ImaLog::parse(bytes).is_ok();
    assert!(parses(&named(&[b'a'; 255], &sized(b"data"))) && !parses(&named(&[b'a'; 256], &sized(b"data"))));
    let old = |len: usize| named(b"ima", &[&[7; 20][..], &sized(&vec![b'a'; len])].concat());
    assert!(parses(&old(255)) && !parses(&old(256)));
    // PCRs, in an entry that does not decide what form the log is of.
    let second = |pcr: u8| [file("/usr/bin/init", 2), Measured { pcr, ..file("/usr/bin/init", 2) }];
    assert!(parses(&binary(&second(23))) && !parses(&binary(&second(24))));
}

#[test]
fn a_log_of_every_shorter_length_is_refused_or_ends_between_entries() {
    let entries = entries();
    let whole = binary(&entries);
    let ends: Vec<usize> = (1..entries.len()).map(|count| binary(&entries[..count]).len()).collect();
    for len in 0..whole.len() {
        assert_eq!(ImaLog::parse(&whole[..len]).is_ok(), ends.contains(&len), "{len}");
    }
    let whole = ascii(&entries[..2]);
    let first = ascii(&entries[..1]).len();
    for len in 0..whole.len() - 1 {
        assert_eq!(ImaLog::parse(&whole[..len]).is_ok(), [first - 1, first].contains(&len), "{len}");
    }
}

#[test]
fn a_log_that_is_empty_or_too_long_is_refused() {
    assert_eq!(ImaLog::parse(&[]).unwrap_err(), ImaError::Empty);
    assert_eq!(ImaLog::parse(&vec![b'1'; LOG_LEN + 1]).unwrap_err(), ImaError::TooLong);
    assert_eq!(ImaLog::parse(&vec![b'1'; LOG_LEN]).unwrap_err(), ImaError::Malformed { number: 1 });
}

#[test]
fn entries_of_another_form_are_refused() {
    let good = file("/usr/bin/init", 2).line();
    let malformed = Err(ImaError::Malformed { number: 1 });
    for (from, to) in [
        ("10 ", "24 "),
        ("10 ", "x "),
        ("10 ", "1000 "),
        ("sha256:", "sha256 "),
        (":0202", ":020"),
        (":0202", ":02g2"),
        (":0202", ":02A2"),
        (" ima-ng", ""),
    ] {
        let line = good.replacen(from, to, 1);
        assert_eq!(ImaLog::parse(line.as_bytes()).map(|_| ()), malformed, "{line}");
    }
    let long = good.replacen(":", &format!(":{}", "02".repeat(33)), 1);
    assert_eq!(ImaLog::parse(long.as_bytes()).map(|_| ()), malformed);
    for line in ["\n", " \n", "10\n", "10 \n", "10 00 ima-ng\n"] {
        assert_eq!(ImaLog::parse(line.as_bytes()).map(|_| ()), malformed, "{line}");
    }
    let empty = [Measured { digest: Vec::new(), ..file("/usr/bin/init", 2) }];
    assert_eq!(ImaLog::parse(&ascii(&empty)).map(|_| ()), malformed);
    assert_eq!(ImaLog::parse(&binary(&empty)).map(|_| ()), malformed);
    for unknown in ["evm-sig", "d-ng|n-ng", "ima-ngv3"] {
        let other = good.replacen("ima-ng", unknown, 1);
        assert_eq!(ImaLog::parse(other.as_bytes()).map(|_| ()), Err(ImaError::Template { number: 1 }));
    }
    // In the binary form: the PCR, a length beyond the end, a name without its NUL, a field too many.
    let good = file("/usr/bin/init", 2);
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.record();
        change(&mut bytes);
        ImaLog::parse(&bytes).map(|_| ())
    };
    let len = good.record().len();
    assert_eq!(broken(&|bytes| bytes[1] = 1), malformed);
    assert_eq!(broken(&|bytes| bytes[24..28].fill(0xff)), malformed);
    assert_eq!(broken(&|bytes| bytes[34..38].fill(0xff)), malformed);
    assert_eq!(broken(&|bytes| bytes[len - 1] = b'x'), malformed);
    let mut extra = good.clone();
    extra.template = "ima-sig";
    let as_ng = [&extra.record()[..24], &sized(b"ima-ng"), &sized(&extra.template_data())].concat();
    assert_eq!(ImaLog::parse(&as_ng).map(|_| ()), malformed);
}

#[test]
fn t6_an_entry_that_was_changed_is_refused() {
    let refused = |number| Err(ImaError::TemplateHash { number });
    let text = String::from_utf8(ascii(&entries())).unwrap();
    for (from, to, number) in [
        ("/usr/bin/init", "/usr/bin/evil", 2),
        (":0202", ":0302", 2),
        ("030204", "030205", 3),
        ("two words", "two  words", 4),
        ("/etc/passwd", "/etc/passwe", 6),
        ("07070707", "07070708", 6),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert_eq!(ImaLog::parse(changed.as_bytes()).map(|_| ()), refused(number), "{from}");
    }
    let mut bytes = binary(&entries());
    let at = binary(&entries()[..1]).len() + 40;
    bytes[at + 40] ^= 1;
    assert_eq!(ImaLog::parse(&bytes).map(|_| ()), refused(2));
    // A hash of a length that no algorithm has.
    let mut cut = file("/usr/bin/init", 2).line().into_bytes();
    cut.drain(3..5);
    assert_eq!(ImaLog::parse(&cut).map(|_| ()), refused(1));
}

#[test]
fn t7_another_boots_log_a_longer_and_a_cut_one_are_refused() {
    let entries = entries();
    let verdict = |logged: &[Measured], extended: &[Measured]| {
        let bytes = binary(logged);
        ImaLog::parse(&bytes).unwrap().confirm(SHA256, &value(extended, SHA256)).map(|_| ())
    };
    assert_eq!(verdict(&entries, &entries), Ok(()));
    assert_eq!(verdict(&entries, &entries[..5]), Err(ImaReplayError::Longer));
    assert_eq!(verdict(&entries[..5], &entries), Err(ImaReplayError::Value));
    let mut swapped = entries.clone();
    swapped.swap(1, 2);
    assert_eq!(verdict(&swapped, &entries), Err(ImaReplayError::Value));
    // A violation extends ones: the entry alone would extend something else.
    let mut hidden = entries.clone();
    hidden[4].violation = false;
    assert_eq!(verdict(&hidden, &entries), Err(ImaReplayError::Value));
    assert_eq!(verdict(&entries, &hidden), Err(ImaReplayError::Value));
}

#[test]
fn t9_a_bank_filled_with_sha1_is_refused() {
    let entries = entries();
    let padded = entries.iter().fold(vec![0; 32], |value, entry| {
        let mut digest = if entry.violation { vec![0xff; 32] } else { entry.template_hash(SHA1) };
        digest.resize(32, 0);
        SHA256.digest(&[&value, &digest])
    });
    let bytes = ascii(&entries);
    let verdict = ImaLog::parse(&bytes).unwrap().confirm(SHA256, &padded).map(|_| ());
    assert_eq!(verdict, Err(ImaReplayError::PaddedSha1));
}

#[test]
fn a_log_is_cut_to_what_was_quoted() {
    let entries = entries();
    for (bytes, cut) in [(ascii(&entries), ascii(&entries[..4])), (binary(&entries), binary(&entries[..4]))] {
        let log = ImaLog::parse(&bytes).unwrap();
        assert_eq!(log.cut_to(SHA256, &value(&entries[..4], SHA256)), Some(&cut[..]));
        assert_eq!(log.cut_to(SHA256, &value(&entries, SHA256)), Some(&bytes[..]));
        assert_eq!(log.cut_to(SHA256, &[1; 32]), None);
    }
}

/// Boot values of PCRs, and the aggregate over the first of them.
fn boot(pcr: u8) -> [u8; 32] {
    [pcr + 1; 32]
}

fn aggregate(last: u8) -> Measured {
    let values: Vec<u8> = (0..=last).flat_map(boot).collect();
    Measured { digest: SHA256.digest(&[&values]), ..file("boot_aggregate", 0) }
}

/// The verdict of the rule on a log that replays. Allowed are the files 2 and 3.
fn rule(entries: &[Measured], quoted: &[u8]) -> Result<BootAggregate, ImaRuleError> {
    let bytes = binary(entries);
    let log = ImaLog::parse(&bytes).unwrap().confirm(SHA256, &value(entries, SHA256)).unwrap();
    check_files(&log, &[[2; 32], [3; 32]], |pcr| quoted.contains(&pcr).then(|| boot(pcr)))
}

#[test]
fn every_file_is_on_the_list() {
    let all: Vec<u8> = (0..24).collect();
    let files = [aggregate(9), file("/usr/bin/init", 2), signed("/usr/bin/signed", &[1])];
    assert_eq!(rule(&files, &all), Ok(BootAggregate::Pcrs0To9));
    let unlisted = |number| Err(ImaRuleError::FileNotListed { number });
    assert_eq!(rule(&[files.to_vec(), vec![file("/usr/bin/init", 4)]].concat(), &all), unlisted(4));
    // A digest of the same bytes by another algorithm is another digest.
    let renamed = Measured { algorithm: "sha3-256", ..file("/usr/bin/init", 2) };
    assert_eq!(rule(&[aggregate(9), renamed], &all), unlisted(2));
    // Nor is what fs-verity has of a file its content.
    assert_eq!(rule(&[aggregate(9), typed("ima-ngv2", "ima:sha256", 2)], &all), Ok(BootAggregate::Pcrs0To9));
    assert_eq!(rule(&[aggregate(9), typed("ima-ngv2", "verity:sha256", 2)], &all), unlisted(2));
    let short = Measured { digest: vec![2; 20], ..file("/usr/bin/init", 2) };
    assert_eq!(rule(&[aggregate(9), short], &all), unlisted(2));
    assert_eq!(rule(&[aggregate(9), old("/etc/passwd")], &all), unlisted(2));
}

#[test]
fn the_boot_aggregate_is_that_of_the_quoted_pcrs() {
    let all: Vec<u8> = (0..24).collect();
    assert_eq!(rule(&[aggregate(7)], &all), Ok(BootAggregate::Pcrs0To7));
    assert_eq!(rule(&[aggregate(7)], &all[..8]), Ok(BootAggregate::Pcrs0To7));
    let other = [file("boot_aggregate", 9)];
    assert_eq!(rule(&other, &all), Err(ImaRuleError::BootAggregate));
    assert_eq!(rule(&[file("boot_aggregate", 2)], &all), Err(ImaRuleError::BootAggregate));
    // What cannot be compared has to be on the list like any other file.
    assert_eq!(rule(&[aggregate(9)], &all[..8]), Err(ImaRuleError::FileNotListed { number: 1 }));
    assert_eq!(rule(&[aggregate(9)], &[10]), Err(ImaRuleError::FileNotListed { number: 1 }));
    assert_eq!(rule(&[file("boot_aggregate", 2)], &[10]), Ok(BootAggregate::NotCompared));
    // Only the first entry may be the aggregate, and only by its name.
    assert_eq!(
        rule(&[file("/usr/bin/init", 2), aggregate(9)], &all),
        Err(ImaRuleError::FileNotListed { number: 2 })
    );
    let named = Measured { name: "/usr/bin/other", ..aggregate(9) };
    assert_eq!(rule(&[named], &all), Err(ImaRuleError::FileNotListed { number: 1 }));
}

#[test]
fn entries_that_say_nothing_of_a_file_are_refused() {
    let all: Vec<u8> = (0..24).collect();
    assert_eq!(
        rule(&[aggregate(9), violation("/var/log")], &all),
        Err(ImaRuleError::Violation { number: 2 })
    );
    let elsewhere = Measured { pcr: 11, ..file("/usr/bin/init", 2) };
    assert_eq!(rule(&[aggregate(9), elsewhere], &all), Err(ImaRuleError::OtherPcr { number: 2 }));
    let unknown = Measured { template: "evm-sig", ..file("/usr/bin/init", 2) };
    assert_eq!(rule(&[aggregate(9), unknown], &all), Err(ImaRuleError::Template { number: 2 }));
    // A buffer with the digest of a file that is on the list, or one that calls itself the boot aggregate.
    let buffer = Measured { digest: vec![2; 32], ..buffer("kexec-cmdline", b"quiet") };
    let refused = |number| Err(ImaRuleError::Buffer { number });
    assert_eq!(rule(&[aggregate(9), buffer.clone()], &all), refused(2));
    assert_eq!(rule(&[Measured { template: "ima-buf", ..aggregate(9) }], &all), refused(1));
}
