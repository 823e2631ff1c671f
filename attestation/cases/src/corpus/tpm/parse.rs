//! Kind quote-parse: lengths inside a quote.

use std::collections::BTreeMap;

use serde_json::json;
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmKeyKind};

use super::super::add::{Added, Cases, case};
use super::super::tpm_world::values;
use crate::schema::{Case, Expect};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    let right = QuoteBuilder::over(TpmKeyKind::EcdsaP256, &values(), &cases.world.nonce()).encode();
    push(cases, "good-quote", right.clone(), None);
    for len in [0, 1, 3, 4, 5, 6, 7, 8, 12, 13, 20, 45, 60, 70, 75, 78, 90, right.len() - 1] {
        let mut cut = right.clone();
        cut.truncate(len);
        let code = "tpm.quote.malformed";
        push(cases, &format!("quote-cut-to-{len}-bytes"), cut, Some(code));
    }
    push(cases, "quote-with-a-byte-more", [right.clone(), vec![0]].concat(), Some("tpm.quote.malformed"));
    push(cases, "quote-of-zeros", vec![0; right.len()], Some("tpm.quote.magic"));
    // Lengths of signer, extraData, selection and digest as large as they can say.
    for (label, at) in [("signer", 6), ("extra-data", 13)] {
        let mut large = right.clone();
        large.iter_mut().skip(at).take(2).for_each(|byte| *byte = 0xff);
        push(cases, &format!("quote-with-a-{label}-of-65535-bytes"), large, Some("tpm.quote.malformed"));
    }
    Ok(())
}

fn push(cases: &mut Cases<'_>, name: &str, quote: Vec<u8>, code: Option<&str>) {
    let parse = Case {
        kind: "quote-parse".to_owned(),
        expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
        code: code.map(str::to_owned),
        ..case("T8", name, json!({}))
    };
    cases.push(parse, BTreeMap::from([("quote".to_owned(), quote)]));
}
