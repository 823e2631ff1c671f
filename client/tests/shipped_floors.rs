//! The TCB floors that are shipped as data, against reports of simulated chips at and just below them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test, helpers included")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use vouchsafe_attestation::explain::{Outcome, explain};
use vouchsafe_attestation::{ChainCache, Collateral, Context, TrustAnchors};
use vouchsafe_client::policy::{KnownFloor, compile, floors};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::evidence::Evidence;
use vouchsafe_protocol::policy::{Accept, LaunchDigest, Product, Tcb};
use vouchsafe_simulation::{SimulatedPki, VekSpec};

/// 2026-11-01.
const NOW: u64 = 1_793_491_200;
const DIGEST: [u8; 48] = [0x4d; 48];

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tcb-floors.toml")).unwrap()
}

fn known() -> BTreeMap<String, KnownFloor> {
    let floors = floors(&[("data/tcb-floors.toml", &shipped())]).unwrap();
    floors.into_iter().map(|floor| (floor.name.clone(), floor)).collect()
}

/// A role with this floor for a product, as an operator would write it.
fn rules(floor: &str, product: Product, platform_info: &str) -> Vec<Accept> {
    let product = match product {
        Product::Milan => "milan",
        Product::Genoa => "genoa",
        Product::Turin => "turin",
    };
    let role = format!(
        "[role.r]\nspiffe_path = '/r'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n[[role.r.accept]]\n\
         kind = 'snp'\nproducts = ['{product}']\nmeasurement = {{ digests = ['{}'] }}\ntcb_floor = '{floor}'\n\
         chip = 'any-chip'\nrevocation = 'unchecked'\n{platform_info}",
        "4d".repeat(48)
    );
    compile(&[("role.toml", &role), ("data/tcb-floors.toml", &shipped())]).unwrap().remove(0).accept
}

/// One PKI per product for all tests: RSA keys are slow to make.
fn pkis() -> &'static BTreeMap<Product, SimulatedPki> {
    static PKIS: OnceLock<BTreeMap<Product, SimulatedPki>> = OnceLock::new();
    PKIS.get_or_init(|| {
        let genoa = SimulatedPki::generate(Product::Genoa).unwrap();
        let others =
            [Product::Milan, Product::Turin].map(|product| (product, genoa.for_product(product).unwrap()));
        others.into_iter().chain([(Product::Genoa, genoa)]).collect()
    })
}

/// The code that refuses a report of a chip with this TCB, or nothing.
fn refusal(product: Product, tcb: Tcb, platform_info: u64, rules: &[Accept]) -> Option<&'static str> {
    let pki = &pkis()[&product];
    let chip = pki.chip(&VekSpec::vcek(product, tcb, [0xc1; 64])).unwrap();
    let report = chip.report().measurement(LaunchDigest(DIGEST)).platform_info(platform_info);
    let evidence = Evidence::Snp(chip.evidence(report.sign(&chip).unwrap()));
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![pki.root()]), tpm: Vec::new() };
    let anchors = TrustAnchors::new(&anchors).unwrap();
    let collateral = Collateral::new();
    let context = Context { anchors: &anchors, collateral: &collateral, now_unix_secs: NOW };
    let explanation = explain(&evidence, None, rules, context, &mut ChainCache::new());
    assert_eq!(explanation.genuine, Ok(()));
    match &explanation.rules[0].outcome {
        Outcome::Accepts(_) => None,
        Outcome::OtherKind => panic!(),
        Outcome::Refuses(errors) => Some(errors[0].code()),
    }
}

/// Every way of being one below a floor in one component.
fn one_below(floor: Tcb) -> Vec<Tcb> {
    let changes: [fn(&mut Tcb) -> &mut u8; 5] = [
        |tcb| &mut tcb.fmc,
        |tcb| &mut tcb.boot_loader,
        |tcb| &mut tcb.tee,
        |tcb| &mut tcb.snp,
        |tcb| &mut tcb.microcode,
    ];
    let below = |change: fn(&mut Tcb) -> &mut u8| {
        let mut tcb = floor;
        let part = change(&mut tcb);
        *part = part.checked_sub(1)?;
        Some(tcb)
    };
    changes.into_iter().filter_map(below).collect()
}

/// SMT, ECC, alias check complete.
const CHECKED: u64 = 0x25;

fn floor_holds(name: &str) {
    let floor = &known()[name];
    assert!(!floor.tcbs.is_empty());
    for (product, tcb) in &floor.tcbs {
        let rules = rules(name, *product, "");
        assert_eq!(refusal(*product, *tcb, CHECKED, &rules), None, "{name} {product:?} at the floor");
        let below = one_below(*tcb);
        assert!(!below.is_empty());
        for below in below {
            let code = refusal(*product, below, CHECKED, &rules);
            assert_eq!(code, Some("snp.tcb.floor"), "{name} {product:?} {below:?}");
        }
    }
}

#[test]
fn s8_a_report_below_the_badram_floor_or_without_its_check_is_refused() {
    floor_holds("amd-sb-3015");
    let (product, tcb) = known()["amd-sb-3015"].tcbs[1];
    // The check is asked for without a word in the role.
    let code = refusal(product, tcb, CHECKED & !0x20, &rules("amd-sb-3015", product, ""));
    assert_eq!(code, Some("snp.platform-info"));
    let waived = rules("amd-sb-3015", product, "platform_info = { alias_check_complete = 'any' }\n");
    assert_eq!(refusal(product, tcb, CHECKED & !0x20, &waived), None);
}

#[test]
fn s9_a_report_below_the_entrysign_floor_is_refused() {
    for name in
        ["amd-sb-3019", "amd-sb-3019-milan-x", "amd-sb-3019-genoa-x", "amd-sb-3019-zen4c", "amd-2025-02"]
    {
        floor_holds(name);
    }
}

#[test]
fn s9_a_report_below_any_other_shipped_floor_is_refused() {
    for name in ["amd-sb-3005", "amd-sb-3016", "amd-sb-3020", "amd-sb-3027", "amd-sb-3030", "amd-2026-09"] {
        floor_holds(name);
    }
}

#[test]
fn s9_every_shipped_floor_has_a_bulletin_a_source_and_says_how_sure_it_is() {
    for (name, floor) in known() {
        assert!(floor.bulletins.iter().all(|bulletin| bulletin.starts_with("AMD-SB-")), "{name}");
        assert!(!floor.bulletins.is_empty() && floor.source.is_some(), "{name}");
        assert!(
            floor.confidence.is_some_and(|words| words.contains("reading of") || words == "as above"),
            "{name}"
        );
    }
}

#[test]
fn s9_the_newest_collection_is_nowhere_below_an_older_floor() {
    let known = known();
    let all = |name: &str| known[name].tcbs.to_vec();
    let newest = all("amd-2026-09");
    for name in [
        "amd-sb-3005",
        "amd-sb-3015",
        "amd-2025-02",
        "amd-sb-3016",
        "amd-sb-3020",
        "amd-sb-3027",
        "amd-sb-3030",
    ] {
        for (product, old) in all(name) {
            let (_, new) = newest.iter().find(|(known, _)| *known == product).unwrap();
            assert!(
                new.snp >= old.snp && new.microcode >= old.microcode && new.tee >= old.tee,
                "{name} {product:?}"
            );
            assert!(new.boot_loader >= old.boot_loader && new.fmc >= old.fmc, "{name} {product:?}");
        }
    }
}
