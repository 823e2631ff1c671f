use vouchsafe_protocol::collateral::{CollateralItem, CollateralSubject};
use vouchsafe_protocol::policy::{ChipId, CspName, Product, Tcb};

use super::*;
use crate::failure::Failure;
use crate::input::pem;

const TCB: Tcb = Tcb { fmc: 1, boot_loader: 9, tee: 0, snp: 23, microcode: 72 };
const DAY: u64 = 86_400;

fn entry(subject: CollateralSubject) -> CollateralEntry {
    CollateralEntry {
        subject,
        not_before_unix_secs: 0,
        not_after_unix_secs: 10 * DAY,
        imported_unix_secs: DAY,
        digest: [7; 32],
    }
}

#[test]
fn every_kind_is_shown_in_one_line() {
    let (genoa, turin) = (Product::Genoa, Product::Turin);
    let shown = |subject| show::line(&entry(subject), 5 * DAY);
    assert_eq!(
        shown(CollateralSubject::Vcek { product: genoa, chip: ChipId([0xab; 64]), tcb: TCB }),
        "VCEK of chip abababababababab… (genoa), TCB 9.0.23.72, until 1970-01-11T00:00:00Z"
    );
    assert_eq!(
        shown(CollateralSubject::Vlek { product: turin, provider: CspName("csp".to_owned()), tcb: TCB }),
        "VLEK of csp (turin), TCB 1.9.0.23.72, until 1970-01-11T00:00:00Z"
    );
    assert_eq!(
        shown(CollateralSubject::AmdCrl { product: genoa, revoked: 2 }),
        "CRL of genoa, 2 revoked, from 1970-01-01T00:00:00Z, until 1970-01-11T00:00:00Z"
    );
    assert_eq!(shown(CollateralSubject::Ask { product: genoa }), "ASK of genoa, until 1970-01-11T00:00:00Z");
    assert_eq!(
        shown(CollateralSubject::Asvk { product: genoa }),
        "ASVK of genoa, until 1970-01-11T00:00:00Z"
    );
    assert_eq!(
        shown(CollateralSubject::TpmIntermediate { name: "A vendor's CA".to_owned() }),
        "TPM intermediate 'A vendor's CA', until 1970-01-11T00:00:00Z"
    );
    let late = show::line(&entry(CollateralSubject::Ask { product: genoa }), 10 * DAY + 1);
    assert_eq!(late, "ASK of genoa, EXPIRED 1970-01-11T00:00:00Z");
}

#[test]
fn entries_are_objects_for_programs() {
    let vcek = CollateralSubject::Vcek { product: Product::Turin, chip: ChipId([1; 64]), tcb: TCB };
    let expected = json!({
        "kind": "vcek", "product": "turin", "chip": "01".repeat(64),
        "tcb": { "boot_loader": 9, "tee": 0, "snp": 23, "microcode": 72, "fmc": 1 },
        "not_before_secs": 0, "not_after_secs": 10 * DAY, "imported_secs": DAY, "expired": false,
        "sha256": "07".repeat(32),
    });
    assert_eq!(show::entry(&entry(vcek), 10 * DAY), expected);
}

#[test]
fn times_are_a_number_and_a_unit() {
    assert_eq!(duration("12h"), Ok(12 * 3600));
    assert_eq!(duration("30d"), Ok(30 * DAY));
    assert_eq!(duration("2w"), Ok(14 * DAY));
    for text in ["", "d", "30", "30m", "-1d", "1.5d", "30 d", "99999999999d"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

/// AMD's own certificates are compiled in: real ones to tell apart.
fn amd() -> (Vec<u8>, Vec<u8>) {
    let ark = include_bytes!("../../../../attestation/roots/genoa-ark.der");
    let ask = include_bytes!("../../../../attestation/roots/genoa-ask.der");
    (ark.to_vec(), ask.to_vec())
}

#[test]
fn files_are_told_apart_by_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (ark, ask) = amd();
    let bundle = dir.path().join("cert_chain");
    std::fs::write(&bundle, pem("CERTIFICATE", &ark) + &pem("CERTIFICATE", &ask)).unwrap();
    let crl = dir.path().join("genoa.crl");
    std::fs::write(&crl, [0x30, 3, 2, 1, 1]).unwrap();
    let found = read_all(&[crl.clone(), bundle.clone()]).unwrap();
    let origin = |number| format!("{} ({number} of 2)", bundle.display());
    assert_eq!(
        found,
        [
            Item::Root { origin: origin(1), name: "ARK-Genoa".to_owned() },
            Item::Collateral { origin: origin(2), item: CollateralItem::AmdIntermediate(ask) },
            Item::Collateral {
                origin: crl.display().to_string(),
                item: CollateralItem::AmdCrl(vec![0x30, 3, 2, 1, 1])
            },
        ]
    );
}

#[test]
fn inspecting_needs_no_vault_and_says_which_rule_refuses() {
    let (ark, ask) = amd();
    let found = [
        Item::Root { origin: "chain.pem (1 of 2)".to_owned(), name: "ARK-Genoa".to_owned() },
        Item::Collateral {
            origin: "chain.pem (2 of 2)".to_owned(),
            item: CollateralItem::AmdIntermediate(ask),
        },
        Item::Collateral { origin: "genoa.crl".to_owned(), item: CollateralItem::AmdCrl(ark) },
    ];
    let output = inspect(&found, None, 1_790_000_000).unwrap();
    let lines: Vec<&str> = output.text().lines().collect();
    assert!(lines[0].starts_with("root       ARK-Genoa, chain.pem (1 of 2)"), "{}", lines[0]);
    assert!(lines[1].starts_with("accepted   ASK of genoa, until 20"), "{}", lines[1]);
    assert!(
        lines[2].starts_with("refused    revocation list, genoa.crl: snp.crl.malformed: "),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], "verified against AMD's roots; pin a vault to verify against its anchors");
    assert!(!output.passed);
    assert_eq!(output.json()["items"][1]["entry"]["kind"], "ask");
    assert_eq!(output.json()["items"][2]["refused"], "snp.crl.malformed");
}

#[test]
fn what_no_vault_keeps_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, pem("PRIVATE KEY", b"x")).unwrap();
    let failure = Failure::of(&read_all(&[file]).unwrap_err());
    assert_eq!(failure.code, "malformed-file");
    assert!(failure.hint.unwrap().contains("X509 CRL"));
}
