//! Kinds snp-parse and vek-chain: reports and certificates alone.

use std::collections::BTreeMap;

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{Validity, field};

use super::super::add::{Added, Cases, case};
use super::super::world::{DAY, NOW_SECS, PRODUCTS, name};
use crate::schema::{Case, Expect};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    reports(cases)?;
    certificates(cases)
}

fn push(
    cases: &mut Cases<'_>,
    kind: &str,
    id: &str,
    name: &str,
    files: BTreeMap<String, Vec<u8>>,
    code: Option<&str>,
) {
    let alone = Case {
        kind: kind.to_owned(),
        expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
        code: code.map(str::to_owned),
        ..case(id, name, json!({}))
    };
    cases.push(alone, files);
}

fn reports(cases: &mut Cases<'_>) -> Added {
    let chip = cases.world.chip(Product::Genoa);
    for version in 0u32..=7 {
        let report = cases.world.report(chip).set(field::VERSION, &version.to_le_bytes()).sign(chip)?;
        let code = (!(2..=5).contains(&version)).then_some("snp.report.version");
        let files = [("report".to_owned(), report)].into();
        push(cases, "snp-parse", "S15", &format!("parse-report-version-{version}"), files, code);
    }
    let right = cases.world.report(chip).sign(chip)?;
    for len in [0, 3, 0x1a0, 0x2a0, right.len() - 1, right.len() + 1] {
        let mut other = right.clone();
        other.resize(len, 0);
        let files = [("report".to_owned(), other)].into();
        push(
            cases,
            "snp-parse",
            "S16",
            &format!("parse-report-of-{len}-bytes"),
            files,
            Some("snp.report.length"),
        );
    }
    Ok(())
}

fn certificates(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        let pki = cases.world.pki(product);
        let (vcek, vlek) = (pki.chip(&cases.world.vcek(product))?, pki.chip(&cases.world.vlek(product))?);
        let forged = cases.world.forged.for_product(product)?.chip(&cases.world.vcek(product))?;
        let mut old = cases.world.vcek(product);
        old.validity = Validity { not_before: NOW_SECS - DAY, not_after: NOW_SECS - 1 };
        let old = pki.chip(&old)?;
        let chain = |leaf: &[u8], intermediate: &[u8]| {
            let parts = [("leaf", leaf), ("intermediate1", intermediate)];
            parts.map(|(part, der)| (part.to_owned(), der.to_vec())).into()
        };
        let all: [(&str, &str, BTreeMap<String, Vec<u8>>, Option<&str>); 5] = [
            ("S2", "good-vcek", chain(vcek.vek(), vcek.issuer()), None),
            ("S2", "good-vlek", chain(vlek.vek(), vlek.issuer()), None),
            ("S2", "forged-vcek", chain(forged.vek(), forged.issuer()), Some("snp.chain.signature")),
            (
                "S2",
                "vlek-under-the-issuer-of-vceks",
                chain(vlek.vek(), vcek.issuer()),
                Some("snp.chain.intermediate-name"),
            ),
            ("S11", "expired-vcek", chain(old.vek(), old.issuer()), Some("snp.chain.expired")),
        ];
        for (id, label, files, code) in all {
            push(cases, "vek-chain", id, &format!("{lower}-{label}-alone"), files, code);
        }
    }
    Ok(())
}
